/** Names in a DNS server that is killed, stopped and started again: Debian's dnsmasq. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { MAX_SEEDS } from "../../../src/cluster/bounds.js";
import { type DnsSourceOptions, dnsSource } from "../../../src/cluster/index.js";
import { gate } from "../../support/gate.js";
import { missing } from "../../support/peers.js";
import { freePort } from "../../support/ports.js";
import { DnsServer } from "./dns-server.js";

const NO_DNSMASQ = missing("dnsmasq");
if (NO_DNSMASQ !== false) console.log(`skipped: ${NO_DNSMASQ}`);

const SELF = { id: "0".repeat(32), name: "a@host", cluster: "default", address: "10.0.0.1:7946" };

async function server(...records: string[]): Promise<DnsServer> {
  const made = new DnsServer(await freePort());
  onTestFinished(() => made.close());
  await made.start(...records);
  return made;
}

/** The lists of a source, one after the other. */
function lists(from: DnsServer, name: string, options: DnsSourceOptions = {}) {
  const aborting = new AbortController();
  onTestFinished(() => aborting.abort());
  const source = dnsSource(name, { servers: [from.address], timeout: 200, minInterval: 20, ...options });
  return source.discover(SELF, aborting.signal)[Symbol.asyncIterator]();
}

async function next(of: AsyncIterator<readonly string[]>): Promise<string[]> {
  const { value } = await of.next();
  return [...(value as readonly string[])].sort();
}

describe.skipIf(NO_DNSMASQ)("a DNS name", () => {
  it("has the targets' addresses of one family where the server refuses questions for the other one", async () => {
    // The server is asked for names outside of its zone only where it has records: anything else is refused.
    const dns = await server("_shoal._tcp.test a.example:7001", "a.example 10.0.0.1");
    await expect(next(lists(dns, "a.example", { port: 7001, type: "AAAA" }))).rejects.toMatchObject({
      code: "EREFUSED",
    });
    const found = lists(dns, "_shoal._tcp.test");
    expect(await next(found)).toEqual(["10.0.0.1:7001"]);
    await dns.start("_shoal._tcp.test a.example:7001", "a.example 10.0.0.9");
    expect(await next(found)).toEqual(["10.0.0.9:7001"]);
  });

  it("is looked up again when its records expire, and not before", async () => {
    const dns = await server("short.test 10.0.0.1 1", "long.test 10.0.0.1 100");
    const short = lists(dns, "short.test", { port: 1, maxInterval: 10_000 });
    const long = lists(dns, "long.test", { port: 1, maxInterval: 10_000 });
    await Promise.all([next(short), next(long)]);
    const begun = performance.now();
    let longAgain = false;
    void long.next().then(() => {
      longAgain = true;
    });
    await dns.start("short.test 10.0.0.9 1", "long.test 10.0.0.9 100");
    expect(await next(short)).toEqual(["10.0.0.9:1"]);
    const took = performance.now() - begun;
    expect(took).toBeGreaterThanOrEqual(900);
    expect(took).toBeLessThan(8_000);
    expect(longAgain).toBe(false);
  });

  it("that does not exist, or has no such records, is an empty list", async () => {
    const dns = await server("six.test fd00::1", "six.test fd00::2");
    const six = lists(dns, "six.test", { port: 1, type: "AAAA" });
    expect(await next(six)).toEqual(["[fd00::1]:1", "[fd00::2]:1"]);
    expect(await next(lists(dns, "nobody.test", { port: 1 }))).toEqual([]);
    expect(await next(lists(dns, "six.test", { port: 1 }))).toEqual([]);
    expect(await next(lists(dns, "_none._tcp.test"))).toEqual([]);
  });

  it("with more addresses than a node takes has one more at least, which the node counts", async () => {
    const many = Array.from({ length: MAX_SEEDS + 8 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
    const targets = many.map((_, i) => `_many._tcp.test t.test:${7_000 + i}`);
    const dns = await server(...many.map((address) => `many.test ${address}`), ...targets, "t.test 10.0.0.1");
    expect((await next(lists(dns, "many.test", { port: 1 }))).length).toBeGreaterThan(MAX_SEEDS);
    expect((await next(lists(dns, "_many._tcp.test"))).length).toBeGreaterThan(MAX_SEEDS);
  });

  it("fails while its server is dead, and while it is silent", async () => {
    const dns = await server("db.test 10.0.0.1");
    await dns.kill();
    await expect(next(lists(dns, "db.test", { port: 1 }))).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await expect(next(lists(dns, "_x._tcp.test"))).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await dns.start("db.test 10.0.0.1");
    expect(await next(lists(dns, "db.test", { port: 1 }))).toEqual(["10.0.0.1:1"]);
    dns.stop();
    await expect(next(lists(dns, "db.test", { port: 1 }))).rejects.toMatchObject({ code: "ETIMEOUT" });
  });

  it("ends when its signal aborts, in a query as in a pause", async () => {
    const dns = await server("db.test 10.0.0.1 100");
    const aborting = new AbortController();
    const source = dnsSource("db.test", { servers: [dns.address], port: 1, timeout: 30_000 });
    const iterator = source.discover(SELF, aborting.signal)[Symbol.asyncIterator]();
    await iterator.next();
    const pausing = iterator.next();
    aborting.abort();
    expect((await pausing).done).toBe(true);
    dns.stop();
    const querying = new AbortController();
    const asked = source.discover(SELF, querying.signal)[Symbol.asyncIterator]().next();
    setImmediate(() => querying.abort());
    await expect(asked).rejects.toMatchObject({ code: "ECANCELLED" });
  });
});

describe("the options of a DNS source", () => {
  it.each<[string, string, DnsSourceOptions]>([
    ["an empty name", "", { port: 1 }],
    ["a name with a slash", "a/b", { port: 1 }],
    ["a long name", "x".repeat(254), { port: 1 }],
    ["an address", "10.0.0.1", { port: 1 }],
    ["A without a port", "db.test", { type: "A" }],
    ["SRV with a port", "db.test", { type: "SRV", port: 1 }],
    ["another type", "db.test", { type: "TXT" as "A", port: 1 }],
    ["a port out of range", "db.test", { port: 65_536 }],
    ["no server", "db.test", { port: 1, servers: [] }],
    ["a server that is no address", "db.test", { port: 1, servers: ["dns.test"] }],
    ["crossed intervals", "db.test", { port: 1, minInterval: 100, maxInterval: 50 }],
    ["an unknown option", "db.test", { port: 1, prot: 1 } as DnsSourceOptions],
  ])("%s is refused", (_what, name, options) => {
    expect(() => dnsSource(name, options)).toThrowError(expect.objectContaining({ code: "EINVAL" }));
  });
});

/** A DNS server that says where the targets of a service are, and answers no question about these. */
async function silentTargets(count: number) {
  const socket = createSocket("udp4");
  onTestFinished(() => void socket.close());
  const asked = new Set<string>();
  const { passed: whenAsked, open: report } = gate();
  socket.on("message", (query, { address, port }) => {
    const end = query.indexOf(0, 12);
    const first = query.toString("latin1", 13, 13 + (query[12] as number));
    if (query.readUInt16BE(end + 1) !== 33) {
      asked.add(first);
      if (asked.size === AT_A_TIME) report();
      return;
    }
    const head = Buffer.from(query.subarray(0, end + 5));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(count, 6);
    head.writeUInt32BE(0, 8);
    const records = Array.from({ length: count }, (_, i) => {
      const target = Buffer.from(`\x04t${String(i).padStart(3, "0")}\x04test\0`, "latin1");
      const record = Buffer.alloc(18);
      for (const [j, value] of [0xc00c, 33, 1, 0, 1, 6 + target.length, 0, 0, 7_001].entries())
        record.writeUInt16BE(value, 2 * j);
      return Buffer.concat([record, target]);
    });
    socket.send(Buffer.concat([head, ...records]), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { port: (socket.address() as AddressInfo).port, asked, whenAsked };
}

/** Targets that are looked up at a time. */
const AT_A_TIME = 8;

it("a service whose targets are being looked up asks for no others once the node leaves", async () => {
  const dns = await silentTargets(4 * AT_A_TIME);
  const aborting = new AbortController();
  const source = dnsSource("_shoal._tcp.test", { servers: [`127.0.0.1:${dns.port}`], timeout: 200 });
  const reading = source.discover(SELF, aborting.signal)[Symbol.asyncIterator]().next();
  await dns.whenAsked;
  aborting.abort();
  await expect(reading).rejects.toThrow();
  expect(dns.asked.size).toBe(AT_A_TIME);
});
