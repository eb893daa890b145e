/** Discovery servers in processes of their own, which are killed: fail-over and balance of clients over real sockets. */
import { afterEach, describe, expect, it } from "vitest";
import { DiscoveryClient } from "../../../src/cluster/index.js";
import { Context } from "../../../src/index.js";
import { type Child, start } from "../../process/child.js";

const PROGRAM = `
import { ClusterNode, DiscoveryServer } from "shoal/cluster";
const [name, group, port] = process.argv.slice(1);
const node = new ClusterNode({ name, group, multicast: { port: Number(port) } });
await node.start();
const server = new DiscoveryServer(node, { endpoint: "tcp://127.0.0.1:*", users: { ana: "secret" }, port: 5672 });
await server.start();
console.log(server.endpoint);
process.stdin.on("data", async () => {
  const { clients, missing } = await node.clients({ timeout: 20_000 });
  console.log(JSON.stringify({ clients: clients.map(({ node }) => node), missing }));
});
`;

const LONG = process.env.SHOAL_LONG === "1";
/** Of one process, which may have 20,000 descriptors; two for each client while it moves. */
const CLIENTS = LONG ? 10_000 : 400;
/** Of 400 by lot over 4, a tenth more or less is nothing: 4.6 standard deviations. What the rules do with 10,000 is in rules.test.ts. */
const TOLERANCE = LONG ? 0.1 : 0.4;

/** Two for each client. */
const context = new Context({ maxSockets: 2 * CLIENTS });
let port = 10_000 + (process.pid % 20_000);
const children = new Map<string, Child>();
const clients: DiscoveryClient[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close({ linger: 0 })));
  for (const child of children.values()) {
    child.process.kill("SIGKILL");
    await child.outcome;
  }
  children.clear();
});

/** @returns the endpoints of the discovery servers, by the nodes' names */
async function cluster(...names: string[]): Promise<Map<string, string>> {
  port += 1;
  const group = `clients-${process.pid}`;
  for (const name of names)
    children.set(
      name,
      start(PROGRAM, { args: [name, group, String(port)], limit: LONG ? 900_000 : 110_000 }),
    );
  const endpoints = new Map<string, string>();
  for (const [name, child] of children) endpoints.set(name, await child.line());
  return endpoints;
}

function client(address: string | undefined): DiscoveryClient {
  const made = new DiscoveryClient({
    addresses: address ?? "",
    username: "ana",
    password: "secret",
    attemptTimeout: 20_000,
    refreshInterval: 600_000,
    socketOptions: { context },
  });
  clients.push(made);
  return made;
}

const nameOf = (of: DiscoveryClient): string => of.current?.name.split("@")[0] ?? "";
const usable = (of: DiscoveryClient): number =>
  of.nodes.filter(({ discovery }) => discovery.length > 0).length;
const changed = (of: DiscoveryClient): Promise<unknown> =>
  new Promise((resolve) => of.events.once("nodes:changed", resolve));

/** Until a client knows so many servers. */
async function knows(of: DiscoveryClient, count: number): Promise<void> {
  await of.ready();
  while (usable(of) !== count) await changed(of);
}

function kill(name: string): void {
  children.get(name)?.process.kill("SIGKILL");
}

describe("a client", () => {
  it("is connected to another node within a second after its own is killed", async () => {
    const endpoints = await cluster("a", "b", "c");
    const one = client(endpoints.get("a"));
    await knows(one, 3);
    for (let left = 2; left > 0; left--) {
      while (nameOf(one) === "") await new Promise((resolve) => one.events.once("node:connected", resolve));
      const killed = nameOf(one);
      const found = new Promise((resolve) => one.events.once("node:connected", resolve));
      const at = performance.now();
      kill(killed);
      await found;
      expect(performance.now() - at).toBeLessThan(1_000);
      expect(nameOf(one)).not.toBe(killed);
      while (usable(one) !== left) await changed(one);
    }
  }, 120_000);

  it("is connected to another node within seconds after its own stands still", async () => {
    const endpoints = await cluster("a", "b");
    const one = client(endpoints.get("a"));
    await knows(one, 2);
    while (nameOf(one) === "") await new Promise((resolve) => one.events.once("node:connected", resolve));
    const stopped = children.get(nameOf(one))?.process;
    const found = new Promise((resolve) => one.events.once("node:connected", resolve));
    const at = performance.now();
    stopped?.kill("SIGSTOP");
    await found;
    expect(performance.now() - at).toBeLessThan(4_000);
    expect(children.get(nameOf(one))?.process).not.toBe(stopped);
  }, 120_000);

  it.each([
    CLIENTS,
  ])("one of %i that know one node: they spread over 4, and again after one is killed", async (count) => {
    const endpoints = await cluster("a", "b", "c", "d");
    await knows(client(endpoints.get("a")), 4);
    for (let started = 1; started < count; started += 100) {
      const batch = Array.from({ length: Math.min(100, count - started) }, () => client(endpoints.get("a")));
      await Promise.all(batch.map((each) => each.ready()));
    }
    // Some are on their way yet: until all are connected, and evenly.
    const spread = async (over: readonly string[]): Promise<void> => {
      const most = (TOLERANCE * count) / over.length;
      for (let left = LONG ? 10_000 : 1_000; ; left--) {
        const counts = over.map((name) => clients.filter((each) => nameOf(each) === name).length);
        const all = counts.reduce((sum, each) => sum + each, 0);
        if (all === count && counts.every((each) => Math.abs(each - count / over.length) < most)) return;
        expect(left, `${counts} of ${count}`).toBeGreaterThan(0);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await spread(["a", "b", "c", "d"]);
    kill("b");
    await spread(["a", "c", "d"]);
    const child = children.get("c") as Child;
    // The clients' moves have ended here; the servers may have to read that yet.
    for (;;) {
      child.process.stdin?.write("x");
      const seen = JSON.parse(await child.line()) as { clients: string[]; missing: string[] };
      if (seen.clients.length !== count || seen.missing.length > 0) continue;
      expect(new Set(seen.clients.map((name) => name.split("@")[0]))).toEqual(new Set(["a", "c", "d"]));
      break;
    }
  }, 900_000);
});
