/** Discovery servers in processes of their own, which are killed: fail-over and balance of clients over real sockets. What their rules do is in rules.test.ts, in virtual time. */

import { afterEach, describe, expect, it } from "vitest";
import { DiscoveryClient } from "../../../src/cluster/index.js";
import { Context } from "../../../src/index.js";
import { within } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";
import { freePort } from "../../support/ports.js";

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

/** Of one process, which may have 20,000 descriptors; two for each client while it moves. */
const CLIENTS = 10_000;
const TOLERANCE = 0.1;

/** Two for each client. */
const context = new Context({ maxSockets: 2 * CLIENTS });
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
  const port = await freePort();
  const group = `clients-${process.pid}`;
  for (const name of names)
    children.set(name, start(PROGRAM, { args: [name, group, String(port)], limit: 900_000 }));
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
/** The nodes in a client's list that have a server. */
const usable = (of: DiscoveryClient): string =>
  of.nodes
    .filter(({ discovery }) => discovery.length > 0)
    .map(({ name }) => name.split("@")[0])
    .sort()
    .join();

/**
 * Until a client's list has these servers and no others. By name: as many may be one that is gone, while the server that
 * gave the list has not heard of another one yet.
 */
function knows(of: DiscoveryClient, ...names: readonly string[]): Promise<void> {
  const wanted = names.join();
  const known = new Promise<void>((resolve) => {
    const look = (): void => {
      if (usable(of) !== wanted) return;
      of.events.off("nodes:changed", look);
      resolve();
    };
    of.events.on("nodes:changed", look);
    look();
  });
  return within(known, `a list of ${wanted}`, 60_000);
}

/** One that stays where it is: the first list moves a client by lot, and the end of its node is no fail-over meanwhile. */
async function settledClient(endpoints: ReadonlyMap<string, string>): Promise<DiscoveryClient> {
  const made = client(endpoints.get("a"));
  let arrivals = 0;
  let look = (): void => undefined;
  made.events.on("node:connected", () => {
    arrivals += 1;
    setImmediate(() => look()); // A move begins after the event.
  });
  made.events.on("attempt:failed", () => look());
  await knows(made, ...endpoints.keys());
  const settled = new Promise<void>((resolve) => {
    look = () => {
      const { attempts, failed } = made.stats();
      if (attempts === arrivals + failed && made.connected) resolve();
    };
    look();
  });
  await within(settled, "a client that stays where it is", 60_000);
  // Of the list of the node where it is now.
  await knows(made, ...endpoints.keys());
  return made;
}

interface FailOver {
  /** The next node that it is connected to. */
  readonly name: string;
  readonly attempts: number;
  /** What is known of how it lost the one before. */
  readonly reason: string | undefined;
}

async function failOver(of: DiscoveryClient, kill: () => void): Promise<FailOver> {
  const before = of.stats().attempts;
  let reason: string | undefined;
  of.events.once("node:lost", ({ error }) => {
    reason = error?.message;
  });
  const connected = new Promise<number>((resolve) => {
    of.events.once("node:connected", () => resolve(of.stats().attempts - before));
  });
  kill();
  const attempts = await within(connected, "another node", 60_000);
  return { name: nameOf(of), attempts, reason };
}

function kill(name: string): void {
  children.get(name)?.process.kill("SIGKILL");
}

describe("a client", () => {
  it("is connected to another node with its first attempt, as soon as its own is killed", async () => {
    const endpoints = await cluster("a", "b", "c");
    const one = await settledClient(endpoints);
    let left = [...endpoints.keys()];
    while (left.length > 1) {
      const killed = nameOf(one);
      left = left.filter((name) => name !== killed);
      const { name, attempts, reason } = await failOver(one, () => kill(killed));
      expect(left).toContain(name);
      expect(attempts).toBe(1);
      expect(reason).toBeDefined();
      expect(reason).not.toContain("silent");
      await knows(one, ...left);
    }
  }, 120_000);

  it("is connected to another node after its own stands still", async () => {
    const endpoints = await cluster("a", "b");
    const one = await settledClient(endpoints);
    const stopped = nameOf(one);
    const { name, attempts, reason } = await failOver(one, () =>
      children.get(stopped)?.process.kill("SIGSTOP"),
    );
    expect([stopped, name].sort()).toEqual(["a", "b"]);
    expect(attempts).toBe(1);
    expect(reason).toContain("the peer was silent for too long");
  }, 120_000);

  it.each([
    CLIENTS,
  ])("one of %i that know one node: they spread over 4, and again after one is killed", async (count) => {
    const endpoints = await cluster("a", "b", "c", "d");
    await knows(client(endpoints.get("a")), "a", "b", "c", "d");
    for (let started = 1; started < count; started += 100) {
      const batch = Array.from({ length: Math.min(100, count - started) }, () => client(endpoints.get("a")));
      await Promise.all(batch.map((each) => each.ready()));
    }
    // Some are on their way yet: until all are connected, and evenly.
    const spread = async (over: readonly string[]): Promise<void> => {
      const most = (TOLERANCE * count) / over.length;
      for (let left = 10_000; ; left--) {
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
