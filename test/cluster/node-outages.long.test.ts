/**
 * Ten nodes that find each other by etcd, DNS and Kubernetes, and send messages all the while. Each of the three servers is killed, stands
 * still or loses its data, each of that twice: no member is lost, no message is lost, and a node that starts meanwhile finds the others by what is left.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  ClusterNode,
  type DiscoverySource,
  dnsSource,
  etcdSource,
  kubernetesSource,
} from "../../src/cluster/index.js";
import { Pull, Push } from "../../src/index.js";
import { makeCertificates } from "../support/certificates.js";
import { missing } from "../support/peers.js";
import { freePort, freePorts } from "../support/ports.js";
import { ApiServer, pod, slice } from "./discovery/api-server.js";
import { DnsServer } from "./discovery/dns-server.js";
import { EtcdServer } from "./discovery/etcd-server.js";

const NODES = 10;

/** Messages in a burst of one sender, and ms between bursts: 20,000 messages a second in all. */
const BURST = 20;
const BURST_INTERVAL = 10;

const SKIPPED = missing("etcd") || missing("dnsmasq");
if (SKIPPED !== false) console.log(`skipped: ${SKIPPED}`);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A source's server goes away, and comes back. */
interface Outage {
  readonly what: string;
  /** Name of the source that is down meanwhile. */
  readonly source: string;
  begin(): unknown;
  end(): unknown;
}

/** The sender of one node, the receiver of the next one. */
class Stream {
  readonly #push = new Push({ linger: 5_000 });
  readonly #pull = new Pull();
  readonly #timer: NodeJS.Timeout;
  readonly #reading: Promise<void>;
  sent = 0;
  received = 0;
  isInOrder = true;

  private constructor() {
    this.#timer = setInterval(() => {
      for (let i = 0; i < BURST; i++) {
        const number = this.sent++;
        this.#push.send(String(number)).catch((error: unknown) => {
          this.isInOrder = false;
          console.error(error);
        });
      }
    }, BURST_INTERVAL);
    this.#reading = this.#read();
  }

  static async open(): Promise<Stream> {
    const stream = new Stream();
    stream.#push.connect(await stream.#pull.bind("tcp://127.0.0.1:*"));
    return stream;
  }

  async #read(): Promise<void> {
    for await (const [frame] of this.#pull) {
      if (String(frame) !== String(this.received)) this.isInOrder = false;
      this.received += 1;
    }
  }

  /** No further message; settles when all have arrived. */
  async finish(): Promise<void> {
    clearInterval(this.#timer);
    while (this.received < this.sent) await new Promise((resolve) => setImmediate(resolve));
    this.#push.close();
    this.#pull.close();
    await this.#reading;
  }
}

/** Settles when a condition holds, which is looked at after each event of a node. */
function until(node: ClusterNode, condition: () => boolean): Promise<void> {
  const types = ["joined", "back", "left", "discovery:up", "discovery:down"] as const;
  return new Promise((resolve) => {
    const look = (): void => {
      if (!condition()) return;
      for (const type of types) node.events.off(type, look);
      resolve();
    };
    for (const type of types) node.events.on(type, look);
    look();
  });
}

const isUp = (node: ClusterNode, source: string): boolean =>
  node.discovery().find(({ name }) => name === source)?.state === "up";

describe.skipIf(SKIPPED)("ten nodes with three sources, under load", () => {
  it("lose no member and no message while servers fail in turn", {
    timeout: 600_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "shoal-outages-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const etcd = await EtcdServer.start();
    cleanups.push(() => etcd.stop());
    const files = makeCertificates(folder);
    const api = new ApiServer(files);
    await api.run();
    cleanups.push(() => api.kill());
    const dns = new DnsServer(await freePort());
    cleanups.push(() => dns.close());

    // The last one is that of the node that starts during an outage.
    const ports = await freePorts(NODES + 1);
    for (const [at, port] of ports.entries())
      api.set(
        slice(`shoal-${at}`, [pod("127.0.0.1")], { ports: [{ name: "shoal", port, protocol: "UDP" }] }),
      );
    const records = ports.flatMap((port, at) => [
      `_shoal._udp.test node${at}.test:${port} 1`,
      `node${at}.test 127.0.0.1 1`,
    ]);
    await dns.start(...records);

    const sources = (): DiscoverySource[] => [
      etcdSource({ servers: etcd.url, ttl: 2_000, timeout: 500, relistInterval: 1_000 }),
      dnsSource("_shoal._udp.test", { type: "SRV", servers: [dns.address], timeout: 500 }),
      kubernetesSource({
        service: "shoal",
        namespace: "sea",
        server: api.url,
        ca: files.ca,
        token: api.token,
        timeout: 500,
        relistInterval: 1_000,
      }),
    ];
    const [etcdName, dnsName, apiName] = sources().map(({ name }) => name) as [string, string, string];
    const group = `outages-${process.pid}`;
    const faults: string[] = [];
    const start = async (name: string, port: number | undefined): Promise<ClusterNode> => {
      const node = new ClusterNode({ name, group, port, discovery: sources() });
      cleanups.push(() => node.close({ linger: 0 }));
      for (const type of ["lost", "removed", "minority"] as const)
        node.events.on(
          type,
          (event) => void faults.push(`${name}: ${type} ${"member" in event ? event.member?.name : ""}`),
        );
      await node.start();
      return node;
    };
    const nodes = await Promise.all(ports.slice(0, NODES).map((port, at) => start(`n${at}`, port)));
    const whole = (members = NODES): Promise<unknown> =>
      Promise.all(nodes.map((node) => until(node, () => node.members().length === members)));
    await whole();
    for (const source of [etcdName, dnsName, apiName])
      await Promise.all(nodes.map((node) => until(node, () => isUp(node, source))));

    const streams = await Promise.all(nodes.map(() => Stream.open()));
    cleanups.push(() => Promise.all(streams.map((stream) => stream.finish())));

    const outages: Outage[] = [
      { what: "etcd is killed", source: etcdName, begin: () => etcd.kill(), end: () => etcd.run() },
      { what: "DNS is killed", source: dnsName, begin: () => dns.kill(), end: () => dns.start(...records) },
      { what: "the API server is killed", source: apiName, begin: () => api.kill(), end: () => api.run() },
      { what: "etcd stands still", source: etcdName, begin: () => etcd.pause(), end: () => etcd.resume() },
      {
        what: "etcd loses its data",
        source: etcdName,
        begin: () => etcd.kill().then(() => etcd.wipe()),
        end: () => etcd.run(),
      },
      {
        what: "DNS stands still",
        source: dnsName,
        begin: () => dns.stop(),
        end: () => dns.start(...records),
      },
    ];
    const rounds = Array.from({ length: 2 }, () => outages).flat();
    for (const [round, { what, source, begin, end }] of rounds.entries()) {
      await begin();
      await Promise.all(nodes.map((node) => until(node, () => !isUp(node, source))));
      const late = await start(`late${round}`, ports[NODES]);
      await until(late, () => late.members().length === NODES + 1);
      await whole(NODES + 1);
      await late.leave();
      await late.close();
      await whole();
      await end();
      await Promise.all(nodes.map((node) => until(node, () => isUp(node, source))));
      expect(faults, what).toEqual([]);
      expect(nodes.map((node) => node.members().length)).toEqual(nodes.map(() => NODES));
    }

    await Promise.all(streams.map((stream) => stream.finish()));
    for (const { sent, received, isInOrder } of streams) expect([received, isInOrder]).toEqual([sent, true]);
    const total = streams.reduce((sum, { received }) => sum + received, 0);
    expect(total).toBeGreaterThan(rounds.length * NODES * BURST);
    console.log(`${rounds.length} outages, ${total} messages, none lost`);
  });
});
