/** A client at servers of this test, which answer what they are told: cycles, patience, moves, fail-over. */
import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  type DiscoveredNode,
  DiscoveryClient,
  type DiscoveryClientEvent,
  type DiscoveryClientOptions,
} from "../../../src/cluster/index.js";
import { Router } from "../../../src/index.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { freePort } from "../../support/ports.js";
import { until } from "../nodes.js";

const closing = closeAfterEach();
afterEach(() => void vi.restoreAllMocks());

/** A discovery server that answers `watch` and `nodes` with a list that the test sets. */
class Fake {
  readonly router = new Router();
  readonly asked: string[] = [];
  readonly peers: Buffer[] = [];
  list: () => readonly DiscoveredNode[];
  node: DiscoveredNode;

  constructor(endpoint: string, name: string) {
    const nothing = { addresses: [], endpoints: {}, tags: [], draining: false };
    this.node = { id: name.padEnd(32, "0"), name: `${name}@h`, discovery: [endpoint], ...nothing };
    this.list = () => [this.node];
    closing(this.router);
    void this.#serve();
  }

  async send(peer: Buffer | undefined, nodes: readonly object[]): Promise<void> {
    await this.router.send([peer as Buffer, JSON.stringify({ ok: true, node: this.node.id, nodes })]);
  }

  async #serve(): Promise<void> {
    for await (const [peer, request] of this.router as AsyncIterable<Buffer[]>) {
      const { command } = JSON.parse(String(request)) as { command: string };
      this.asked.push(command);
      if (command === "watch") this.peers.push(peer as Buffer);
      await this.send(peer, this.list());
    }
  }
}

async function fake(name: string): Promise<Fake> {
  const endpoint = `tcp://127.0.0.1:${await freePort()}`;
  const made = new Fake(endpoint, name);
  await made.router.bind(endpoint);
  return made;
}

/** Servers that all list each other. */
async function fakes(...names: string[]): Promise<Fake[]> {
  const all = await Promise.all(names.map(fake));
  for (const each of all) each.list = () => all.map(({ node }) => node);
  return all;
}

const TYPES = ["nodes:changed", "node:connected", "node:lost", "attempt:failed", "cycles:failed"] as const;

function client(
  options: Partial<DiscoveryClientOptions> & { addresses: string | string[] },
): [DiscoveryClient, DiscoveryClientEvent[]] {
  const made = closing(new DiscoveryClient(options));
  const events: DiscoveryClientEvent[] = [];
  for (const type of TYPES) made.events.on(type, (event) => events.push(event));
  return [made, events];
}

/** A port that accepts connections and never answers. */
async function silent(): Promise<string> {
  const server: Server = createServer((socket) => socket.on("error", () => undefined));
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  closing({ close: () => server.close() });
  return `tcp://127.0.0.1:${port}`;
}

describe("a client", () => {
  it("gives a server that accepts twice as long each time", async () => {
    const times: number[] = [];
    const [made] = client({ addresses: await silent(), attemptTimeout: 100, cycleCount: 3 });
    let since = performance.now();
    made.events.on("attempt:failed", ({ reason }) => {
      expect(reason).toBe("timeout");
      times.push(performance.now() - since);
      since = performance.now();
    });
    await expect(made.ready()).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    expect(times).toHaveLength(3);
    for (const [i, time] of times.entries()) expect(time).toBeGreaterThan(95 * 2 ** i);
  });

  it("moves by lot after its first list, and stays then", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.99); // The lot falls on the last one.
    const all = await fakes("a", "b", "c", "d");
    // It draws once: on a busy machine, too, the answer has to come in time.
    const addresses = all[0]?.node.discovery[0] as string;
    const [made, events] = client({ addresses, attemptTimeout: 20_000, refreshInterval: 50 });
    await until(() => made.current?.name === "d@h");
    const e = await fake("e");
    for (const each of all) each.list = () => [...all, e].map(({ node }) => node);
    for (let i = 0; i < 3; i++) {
      const { updates } = made.stats();
      await until(() => made.stats().updates > updates);
    }
    expect([made.nodes.length, made.current?.name, e.peers]).toEqual([5, "d@h", []]);
    expect(events.filter(({ type }) => type === "node:lost")).toEqual([]);
  });

  it("stays where it is when the node of its lot does not answer", async () => {
    const [a] = (await fakes("a")) as [Fake];
    // The lot falls on the other one.
    const gone = { ...a.node, id: "gone", discovery: ["tcp://127.0.0.1:1"] };
    a.list = () => [{ ...a.node, discovery: [] }, gone];
    const [made, events] = client({ addresses: a.node.discovery[0] as string });
    await made.ready();
    await until(() => events.some(({ type }) => type === "attempt:failed"));
    expect(made.current?.name).toBe("a@h");
    expect(a.peers).toHaveLength(1);
  });

  it("takes each list that its node sends, and asks for it at each interval", async () => {
    const [a] = (await fakes("a")) as [Fake];
    const [made, events] = client({ addresses: a.node.discovery[0] as string, refreshInterval: 600_000 });
    await made.ready();
    const b = { ...a.node, id: "b", discovery: [] };
    await a.send(a.peers[0], [a.node, b]);
    await until(() => made.nodes.length === 2);
    await a.send(a.peers[0], [a.node]);
    await until(() => made.nodes.length === 1);
    expect(a.asked).toEqual(["watch"]);
    const changes = events.flatMap((event) => (event.type === "nodes:changed" ? [event] : []));
    const ids = (of: readonly DiscoveredNode[]): string[] => of.map(({ id }) => id);
    expect(changes.map(({ changed, left }) => [ids(changed), ids(left)])).toEqual([
      [[a.node.id], []],
      [["b"], []],
      [[], ["b"]],
    ]);
    client({ addresses: a.node.discovery[0] as string, refreshInterval: 50 });
    await until(() => a.asked.length > 5);
  });

  it("takes a list that comes right after the first one", async () => {
    const [a] = (await fakes("a")) as [Fake];
    const { list } = a;
    a.list = () => {
      setImmediate(() => void a.send(a.peers[0], [a.node, { ...a.node, id: "b", discovery: [] }]));
      return list();
    };
    const [made] = client({ addresses: a.node.discovery[0] as string, refreshInterval: 600_000 });
    await until(() => made.nodes.length === 2);
  });

  it("keeps its list when all nodes are gone, and moves by lot again after a rest", async () => {
    const [a, b] = (await fakes("a", "b")) as [Fake, Fake];
    a.list = () => [a.node];
    const endpoint = a.node.discovery[0] as string;
    const [made, events] = client({ addresses: endpoint, cycleCount: 1, refreshInterval: 100 });
    await made.ready();
    await until(() => made.connected);
    await a.router.close({ linger: 0 });
    await until(() => events.some(({ type }) => type === "cycles:failed"));
    expect([made.connected, made.nodes.map(({ id }) => id)]).toEqual([false, [a.node.id]]);
    vi.spyOn(Math, "random").mockReturnValue(0.99); // The lot falls on the last one.
    const again = new Fake(endpoint, "a");
    again.list = () => [again.node, b.node];
    await again.router.bind(endpoint);
    await until(() => made.current?.name === "b@h");
  });

  it("reports that all servers refused it only if each did", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.99); // The refusing one is the last one tried.
    const router = closing(new Router({ plainServer: true, authenticate: () => false }));
    const refusing = await router.bind("tcp://127.0.0.1:*");
    const addresses = [`127.0.0.1:${await freePort()}`, refusing];
    const [made] = client({ addresses, username: "ana", password: "wrong", cycleCount: 1 });
    const cause = { code: "ERR_AUTHENTICATION" };
    await expect(made.ready()).rejects.toMatchObject({ code: "EHOSTUNREACH", cause });
  });

  it("throws for options that its socket refuses", () => {
    const options = { addresses: "127.0.0.1:1", socketOptions: { linger: "x" } as never };
    expect(() => new DiscoveryClient(options)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});
