/**
 * etcd as a source of discovery: in the long form against Debian's etcd, which is killed, paused and wiped; and against servers that lose keys and
 * send junk.
 */
import { writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { EtcdGateway, type EtcdSourceOptions, etcdSource } from "../../../src/cluster/discovery/etcd.js";
import type { DiscoverySelf, DiscoverySource } from "../../../src/cluster/discovery/source.js";
import { thrown } from "../../contract/support/wait.js";
import { makeCertificates, makeClient } from "../../support/certificates.js";
import { sharedFolder } from "../../support/folders.js";
import { LONG } from "../../support/long.js";
import { missing } from "../../support/peers.js";
import { Relay } from "../../support/relay.js";
import { EtcdServer } from "./etcd-server.js";
import { Follower, selfAt } from "./follower.js";

/** The nodes of tests that run at a time: they leave when all of these have ended. */
function nodes() {
  const followers: Follower[] = [];
  const add = (source: DiscoverySource, self: DiscoverySelf): Follower => {
    const follower = new Follower(source, self);
    followers.push(follower);
    return follower;
  };
  return {
    add,
    /** A node that asks, at an address. */
    follow(
      options: EtcdSourceOptions,
      address = "10.0.0.1:7946",
      cluster?: string,
    ): Follower & { key: string } {
      const self = selfAt(address, cluster);
      const follower = add(etcdSource({ timeout: 3_000, relistInterval: 200, ...options }), self);
      return Object.assign(follower, { key: `${options.prefix ?? "shoal"}/${self.cluster}/${self.id}` });
    },
    async leave(): Promise<void> {
      await Promise.all(followers.splice(0).map((follower) => follower.stop()));
    },
  };
}

describe("the options", () => {
  it.each([
    [{}, /servers of etcdSource must be 1 to 16.*got 0/],
    [{ servers: "ftp://10.0.0.1:2379" }, /"http:\/\/host:port" or "https:\/\/host:port"/],
    [{ servers: "http://user:word@10.0.0.1:2379" }, /"http:\/\/host:port"/],
    [{ servers: "http://10.0.0.1:2379", tls: { ca: "/ca.pem" } }, /with tls needs https servers/],
    [{ servers: "10.0.0.1:2379", tls: { cert: "/cert.pem" } }, /needs both cert and key/],
    [{ servers: "10.0.0.1:2379", tls: { certificate: "/cert.pem" } }, /tls has no option certificate.*cert/],
    [{ servers: "10.0.0.1:2379", username: "me" }, /has no option username/],
    [{ servers: "10.0.0.1:2379", ttl: 999 }, /ttl.*from 1000/],
    [{ servers: "10.0.0.1:2379", prefix: "/" }, /prefix/],
    [{ servers: "10.0.0.1:2379", server: "x" }, /did you mean servers/],
  ])("are refused: %j", (options, message) => {
    const error = thrown(() => etcdSource(options as EtcdSourceOptions));
    expect([error.code, error.message]).toEqual(["EINVAL", expect.stringMatching(message)]);
  });

  it("take a server without a scheme, and name the source", () => {
    expect(etcdSource({ servers: "10.0.0.1:2379" }).name).toBe("etcd:10.0.0.1:2379/shoal");
    const servers = ["https://a:1", "https://b:2"];
    expect(etcdSource({ servers, prefix: "/emqcl/" }).name).toBe("etcd:a:1//emqcl");
  });
});

// Most of the time they wait for terms of leases.
describe.skipIf(!LONG || missing("etcd")).concurrent("a server", () => {
  const { add, follow, leave } = nodes();
  let etcd: EtcdServer;
  beforeAll(async () => {
    etcd = await EtcdServer.start();
  });
  afterAll(async () => {
    await leave();
    await etcd.stop();
  });

  it("gets the key again when somebody deletes or changes it, or revokes its lease", async () => {
    const follower = follow({ servers: etcd.url, prefix: "again" });
    await follower.has("10.0.0.1:7946");
    const first = await etcd.get(follower.key);
    const seen: number[] = [];
    for (const harm of [
      () => etcd.delete(follower.key),
      () => etcd.put(follower.key, "10.9.9.9:1"),
      () => etcd.call("/v3/lease/revoke", { ID: first?.lease }),
    ]) {
      const lists = follower.lists;
      await harm();
      await follower.until((now) => now.lists > lists + 1 && now.list?.join() === "10.0.0.1:7946");
      seen.push(follower.lists);
    }
    expect((await etcd.get(follower.key))?.lease).not.toBe(first?.lease);
    expect([seen.length, follower.failures]).toEqual([3, 0]);
  });

  it("has the new address of a node whose host got another one", async () => {
    const self: { -readonly [K in keyof DiscoverySelf]: DiscoverySelf[K] } = selfAt("10.0.0.1:7946");
    const source = etcdSource({ servers: etcd.url, prefix: "moved", relistInterval: 200 });
    const follower = add(source, self);
    await follower.has("10.0.0.1:7946");
    self.address = "10.0.0.2:7946";
    await follower.has("10.0.0.2:7946");
    expect(follower.failures).toBe(0);
  });

  it("is left alone by a node that only looks; long values, which are no addresses, are not handed on", async () => {
    const follower = follow({ servers: etcd.url, prefix: "looks", publish: false });
    await follower.has();
    for (const value of ["10.0.0.7:1", "", "x".repeat(100_000)])
      await etcd.put(`looks/kitchen/${value.length}`, value);
    await follower.has("", "(100000 characters)", "10.0.0.7:1");
    expect(await etcd.get(follower.key)).toBeUndefined();
  });

  it("forgets a node that is cut off for longer than its lease, and has it again afterwards", async () => {
    const relay = await Relay.to(etcd.url);
    const options = { prefix: "cut", ttl: 1_000, timeout: 200, relistInterval: 300 };
    const cut = follow({ servers: relay.endpoint.replace("tcp", "http"), ...options }, "10.0.0.1:7946");
    const other = follow({ servers: etcd.url, ...options }, "10.0.0.2:7946");
    await Promise.all([cut, other].map((each) => each.has("10.0.0.1:7946", "10.0.0.2:7946")));
    relay.blackHole(true);
    await other.has("10.0.0.2:7946");
    await cut.until(({ error }) => error?.code === "ETIMEDOUT");
    expect(cut.list).toHaveLength(2);
    relay.blackHole(false);
    await other.has("10.0.0.1:7946", "10.0.0.2:7946");
    await cut.stop();
    await relay.close();
  });
});

describe.skipIf(missing("etcd"))("a server that fails", () => {
  const { follow, leave } = nodes();
  let etcd: EtcdServer;
  beforeAll(async () => {
    etcd = await EtcdServer.start();
  });
  afterEach(leave);
  afterAll(() => etcd.stop());

  it("may be killed and started again: the last list stands, then the key is there again", async () => {
    const one = follow({ servers: etcd.url }, "10.0.0.1:7946");
    const two = follow({ servers: etcd.url }, "10.0.0.2:7946");
    await Promise.all([one.has("10.0.0.1:7946", "10.0.0.2:7946"), two.has("10.0.0.1:7946", "10.0.0.2:7946")]);
    await etcd.kill();
    await one.until(({ error }) => error?.code === "ECONNREFUSED");
    expect(one.list).toHaveLength(2);
    await two.stop();
    await etcd.run();
    // The lease of the other one, which left meanwhile, has most of its minute left.
    await one.until(({ error }) => error === undefined);
    expect((await etcd.get(one.key))?.value).toBe("10.0.0.1:7946");
    await etcd.delete(two.key);
    await one.has("10.0.0.1:7946");
  });

  it("may lose all that it had: every node puts its key again; other clusters have theirs", async () => {
    const other = follow({ servers: etcd.url, prefix: "wiped" }, "10.0.0.3:7946", "kitchen2");
    await other.has("10.0.0.3:7946");
    const one = follow({ servers: etcd.url, prefix: "wiped" }, "10.0.0.1:7946");
    const two = follow({ servers: etcd.url, prefix: "wiped" }, "10.0.0.2:7946");
    await Promise.all([one.has("10.0.0.1:7946", "10.0.0.2:7946"), two.has("10.0.0.1:7946", "10.0.0.2:7946")]);
    await etcd.kill();
    etcd.wipe();
    const { lists } = one;
    await etcd.run();
    await one.until((now) => now.lists > lists && now.list?.length === 2);
    expect((await etcd.get(two.key))?.value).toBe("10.0.0.2:7946");
  });
});

describe.skipIf(!LONG || missing("etcd")).concurrent("with servers of its own", () => {
  const { follow, leave } = nodes();
  const folder = sharedFolder();
  afterAll(leave);

  it("a server that stands still is not waited for by a node that leaves", async ({ onTestFinished }) => {
    const etcd = await EtcdServer.start();
    onTestFinished(() => etcd.stop());
    const follower = follow({ servers: etcd.url, timeout: 600_000 });
    await follower.has("10.0.0.1:7946");
    for (let key = await etcd.get(follower.key); key === undefined; ) key = await etcd.get(follower.key);
    etcd.pause();
    // With a wait for its answer this is longer than a test may take.
    await follower.stop();
  });

  it("three servers are asked in turn: the next one at once when the one in use is killed or paused", async ({
    onTestFinished,
  }) => {
    const servers = await EtcdServer.startThree();
    onTestFinished(async () => void (await Promise.all(servers.map((server) => server.stop()))));
    const options = { servers: servers.map(({ url }) => url), timeout: 500, ttl: 3_000, relistInterval: 500 };
    const one = follow(options, "10.0.0.1:7946");
    const two = follow(options, "10.0.0.2:7946");
    await Promise.all([one.has("10.0.0.1:7946", "10.0.0.2:7946"), two.has("10.0.0.1:7946", "10.0.0.2:7946")]);
    for (const [at, server] of servers.entries()) {
      if (at === 1) server.pause();
      else await server.kill();
      const asked = servers[(at + 1) % 3] as EtcdServer;
      const address = `10.0.1.${at}:1`;
      await put(asked, `shoal/kitchen/extra${at}`, address);
      await Promise.all([one, two].map((each) => each.until(({ list }) => list?.includes(address) === true)));
      if (at === 1) server.resume();
      else await server.run();
    }
    await one.until(({ list }) => list?.length === 5);
    await two.until(({ list }) => list?.length === 5);

    // Without a majority none of them answers.
    servers[0]?.pause();
    servers[1]?.pause();
    await Promise.all([one, two].map((each) => each.until(({ error }) => error !== undefined)));
    expect([one.list?.length, two.list?.length]).toEqual([5, 5]);
    servers[0]?.resume();
    servers[1]?.resume();
    await Promise.all([one, two].map((each) => each.until(({ error }) => error === undefined)));
  });

  it("with users: a node has none, and is refused", async ({ onTestFinished }) => {
    const etcd = await EtcdServer.start();
    onTestFinished(() => etcd.stop());
    await etcd.call("/v3/auth/user/add", { name: "root", password: "root" });
    await etcd.call("/v3/auth/user/grant", { user: "root", role: "root" });
    await etcd.call("/v3/auth/enable", {});
    const nobody = follow({ servers: etcd.url });
    await nobody.until(({ error }) => error?.code === "ERR_AUTHENTICATION");
  });

  it("over TLS, with certificates from files that are read again", async ({ onTestFinished }) => {
    const files = makeCertificates(folder);
    const etcd = await EtcdServer.start({ ca: files.ca, cert: files.serverCert, key: files.serverKey });
    onTestFinished(() => etcd.stop());
    const { ca, clientCert: cert, clientKey: key } = files;
    const one = follow({ servers: etcd.url, tls: { ca, cert, key }, relistInterval: 300 });
    await one.has("10.0.0.1:7946");

    const untrusting = follow({ servers: etcd.url, tls: { cert, key } });
    await untrusting.until(({ error }) => error !== undefined);
    expect(untrusting.error?.message).toMatch(/certificate/);
    const unknown = follow({ servers: etcd.url, tls: { ca } });
    await unknown.until(({ error }) => error !== undefined);
    const misnamed = follow({ servers: etcd.url, tls: { ca, cert, key, servername: "elsewhere" } });
    await misnamed.until(({ error }) => /altnames/.test(error?.message ?? ""));

    writeFileSync(cert, "junk");
    await one.until(({ error }) => error !== undefined);
    makeClient(folder);
    await one.until(({ error }) => error === undefined);
  });
});

/** A put, as soon as the servers have a leader: one that comes before waits for 6 s, leader or not, so it is asked again. */
async function put(server: EtcdServer, key: string, value: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await server.put(key, value, AbortSignal.timeout(300));
      return;
    } catch (error) {
      if (tries === 100) throw error;
    }
  }
}

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const header = { revision: "7" };

/** A server with leases of a minute. @param listed what it lists, of what was put */
async function serveKeys(listed: (puts: readonly Record<string, string>[]) => readonly object[]) {
  const puts: Record<string, string>[] = [];
  const lease = { ID: "77", TTL: "60" };
  const url = await serve((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.url === "/v3/kv/put") puts.push(JSON.parse(Buffer.concat(chunks).toString()));
      response.end(JSON.stringify({ header, kvs: listed(puts), ...lease, result: lease }));
    });
  });
  return { url, puts };
}

/** A server without keys, of which all leases are this. */
async function serveLeases(lease: object) {
  let grants = 0;
  const url = await serve((request, response) => {
    const isGrant = request.url === "/v3/lease/grant";
    if (isGrant) grants += 1;
    response.end(JSON.stringify(isGrant ? lease : { header }));
  });
  return { url, granted: () => grants };
}

it("A node that has put its key lists again at once, so of nodes that start together one has all", async () => {
  const { url } = await serveKeys((puts) => puts);
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  const { signal } = new AbortController();
  const lists = etcdSource({ servers: url }).discover(selfAt("10.0.0.1:7946"), signal);
  const found = [];
  for await (const list of lists) if (found.push(list) === 2) break;
  expect(found).toEqual([[], ["10.0.0.1:7946"]]);
  vi.useRealTimers();
});

describe.concurrent("a server that is not etcd", () => {
  const { follow, leave } = nodes();
  afterAll(leave);
  const answer =
    (status: number, text: string, headers = {}): RequestListener =>
    (_, response) =>
      response.writeHead(status, headers).end(text);
  const half: RequestListener = (_, response) => response.write('{"hea', () => response.destroy());

  it.each<[string, RequestListener, string, RegExp]>([
    ["plain text", answer(200, "hello"), "ERR_PROTOCOL", /expected JSON; got "hello"/],
    ["no revision", answer(200, "{}"), "ERR_PROTOCOL", /has no revision/],
    ["a list", answer(200, "[]"), "ERR_PROTOCOL", /has no revision/],
    ["null", answer(200, "null"), "ERR_PROTOCOL", /has no revision/],
    ["404", answer(404, "no"), "ERR_PROTOCOL", /no JSON gateway/],
    ["302", answer(302, "", { location: "/" }), "ERR_TRANSPORT", /status 302/],
    ["500", answer(500, "oops\nmore"), "ERR_TRANSPORT", /: oops \(status 500\)/],
    ["a closed connection", (request) => request.socket.destroy(), "ERR_TRANSPORT", /socket hang up/],
    ["half an answer", half, "ERR_TRANSPORT", /aborted/],
    ["nothing", () => {}, "ETIMEDOUT", /did not answer within 300 ms/],
  ])("answers %s: the source is down, and says why", async (_, listener, code, message) => {
    const timeout = code === "ETIMEDOUT" ? 300 : 20_000;
    const follower = follow({ servers: await serve(listener), timeout });
    await follower.until(({ error }) => error !== undefined);
    expect(follower.error).toMatchObject({ code, message: expect.stringMatching(message) });
    await follower.stop();
  });

  it.sequential("answers without end: it is left after 8 MiB", async () => {
    const chunk = Buffer.alloc(65_536, 32);
    let sent = 0;
    const flood: RequestListener = (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.byteLength;
      };
      response.on("drain", more);
      more();
    };
    const list = follow({ servers: await serve(flood), timeout: 20_000 });
    await list.until(({ error }) => error !== undefined);
    const message = expect.stringMatching(/more than 8,388,608/);
    expect(list.error).toMatchObject({ code: "ERR_PROTOCOL", message });
    await list.stop();
    expect(sent).toBeLessThan(64 * 1_048_576);
  });

  it.each([
    {},
    { ID: "1e999" },
  ])("gives leases without ids, %j: the source is down, and does not ask without pause", async (lease) => {
    const { url, granted } = await serveLeases(lease);
    const follower = follow({ servers: url });
    await follower.until(({ failures }) => failures >= 2);
    await follower.stop();
    expect(granted()).toBeLessThanOrEqual(4);
  });

  it.each(["0", "-1", "0.5", "junk", null])("gives a lease of %j seconds: it is down", async (TTL) => {
    const { url, granted } = await serveLeases({ ID: "77", TTL });
    const follower = follow({ servers: url });
    await follower.until(({ failures }) => failures > 0);
    const message = expect.stringMatching(/has no time to live/);
    expect(follower.error).toMatchObject({ code: "ERR_PROTOCOL", message });
    await follower.stop();
    expect(granted()).toBe(1);
  });

  it("gives leases of more seconds than a timer has: they count as a day", async () => {
    const lease = { ID: "77", TTL: "9000000000" };
    const url = await serve((_, response) => response.end(JSON.stringify({ ...lease, result: lease })));
    const gateway = new EtcdGateway({ servers: [url], tls: undefined, timeout: 20_000 });
    const { signal } = new AbortController();
    expect(await gateway.grant(60, signal)).toEqual({ id: "77", seconds: 86_400 });
    expect(await gateway.keepAlive("77", signal)).toBe(86_400);
  });

  it("loses the key before it is listed: the key is put again, under the same lease", async () => {
    const { url, puts } = await serveKeys((all) => (all.length < 2 ? [] : all.slice(-1)));
    const follower = follow({ servers: url });
    await follower.has("10.0.0.1:7946");
    const { lists } = follower;
    await follower.until((now) => now.lists >= lists + 2);
    expect(puts.map(({ lease }) => lease)).toEqual(["77", "77"]);
    expect(follower.failures).toBe(0);
  });
});
