/** Nodes that stand still for longer than others believe in them: what they wait for comes once they go on, and what is lost is counted. */
import { expect, it } from "vitest";
import { ClusterNode, type Member } from "../../../src/cluster/index.js";
import { simulate } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { KEY, pause } from "../simulated.js";

const NAMES = ["a", "b", "c", "d", "e"];
const RUNS = LONG ? 10 : 1;
const LIMIT = LONG ? 1_200_000 : 60_000;
const STALLS = LONG ? 30 : 4;
/** ms between two turns of a node. */
const INTERVAL = LONG ? 100 : 400;
const TIMEOUT = LONG ? 60_000 : 20_000;
const SEEDS = ["a:7000", "b:7000"];

interface Program {
  /** Once, as each node has started. */
  start?(node: ClusterNode, name: string): void;
  /** Every 100 ms or 400, with the other members. */
  turn(node: ClusterNode, name: string, count: number, others: readonly Member[]): void;
  /** When all go on, and have for a minute. */
  end(nodes: ReadonlyMap<string, ClusterNode>): Promise<void> | void;
}

/** Runs a program on five nodes that stand still now and then, for up to 4 s, and one of them at the end until all others have lost it. */
async function standStill(program: () => Program): Promise<void> {
  await simulate({ seed: 1, runs: RUNS, network: { latency: [1, 10] } }, async (world) => {
    const { start, turn, end } = program();
    const nodes = new Map<string, ClusterNode>();
    let isOver = false;
    for (const name of NAMES)
      world.node(name).start(async () => {
        const node = new ClusterNode({ name, scope: "link", key: KEY, port: 7000, seeds: SEEDS });
        nodes.set(name, node);
        await node.start();
        start?.(node, name);
        for (let count = 0; !isOver; count++) {
          turn(node, name, count, node.members({ self: false }));
          await pause(INTERVAL);
        }
      });
    await world.advance(3_000);
    for (let i = 0; i < STALLS; i++) {
      await world.advance(world.random.integer(20, 1_500));
      world.node(world.random.pick(NAMES)).stall(world.random.integer(100, 4_000));
    }
    await world.advance(4_000);
    const gone = world.random.pick(NAMES);
    const believe = ([name, node]: [string, ClusterNode]): boolean =>
      name !== gone && node.members().some((member) => member.host === gone);
    world.node(gone).stall();
    while ([...nodes].some(believe)) await world.advance(100);
    world.node(gone).resume();
    isOver = true;
    await world.advance(TIMEOUT + 5_000);
    await end(nodes);
  });
}

/** Items that the links of all nodes gave up. */
function lost(nodes: ReadonlyMap<string, ClusterNode>): number {
  let sum = 0;
  for (const node of nodes.values())
    for (const peer of node.stats().messaging?.links.peers ?? []) sum += peer.lost;
  return sum;
}

it("no answer to a query is missing", { timeout: LIMIT }, async () => {
  await standStill(() => {
    const missing: string[] = [];
    const codes = new Set<string>();
    let replies = 0;
    return {
      start: (node) =>
        node.onQuery(async ({ data }) => {
          await pause(50);
          return data;
        }),
      turn: (node, name, count, services) =>
        void node
          .query({ services, data: `${count}`, timeout: TIMEOUT })
          .collect()
          .then((results) => {
            replies += results.replies.length;
            for (const { error } of results.failed) codes.add(error.code);
            for (const service of results.missing) missing.push(`${name}.${count}: ${service.name}`);
          }),
      end: () => {
        expect(missing).toEqual([]);
        expect([...codes]).toEqual(["EHOSTUNREACH"]);
        expect(replies).toBeGreaterThan(30 * STALLS);
      },
    };
  });
});

it("what is sent to services arrives once, or is counted as lost", { timeout: LIMIT }, async () => {
  await standStill(() => {
    const received = new Map<string, number>();
    const errors = new Set<string>();
    let sent = 0;
    return {
      start: (node, name) => {
        node.channels.join(7);
        node.onMessage(({ channel, data }) => {
          const key = `${name} got ${channel}: ${data}`;
          received.set(key, (received.get(key) ?? 0) + 1);
        });
      },
      turn: (node, name, count, services) =>
        void node
          .send({ services, channel: count % 2 === 0 ? 0 : 7, data: `${name}.${count}` })
          .then((result) => {
            sent += result.sent.length;
            for (const { error } of result.failed) errors.add(error.code);
          }),
      end: (nodes) => {
        expect([...received].filter(([, times]) => times > 1)).toEqual([]);
        expect([...errors].filter((code) => code !== "EHOSTUNREACH")).toEqual([]);
        expect(received.size).toBeLessThanOrEqual(sent);
        expect(sent - received.size).toBeLessThanOrEqual(lost(nodes));
        expect(received.size).toBeGreaterThan(30 * STALLS);
        for (const node of nodes.values()) expect(node.stats().services?.refused).toEqual({});
      },
    };
  });
});

it("a one-to-one message is answered, or fails at once with its node", { timeout: LIMIT }, async () => {
  await standStill(() => {
    const received = new Map<string, number>();
    const acknowledged: string[] = [];
    const errors: string[] = [];
    return {
      start: (node, name) =>
        node.subscribe("self", ({ data }) => {
          const key = `${name} got ${data}`;
          received.set(key, (received.get(key) ?? 0) + 1);
        }),
      turn: (node, name, count, services) => {
        for (const { id, name: other } of services) {
          const text = `${name}.${count}`;
          node.sendTo(node.addressOf(id), text, { timeout: TIMEOUT }).then(
            () => acknowledged.push(`${other.slice(0, 1)} got ${text}`),
            (error: { code: string }) => errors.push(error.code),
          );
        }
      },
      end: () => {
        expect([...received].filter(([, times]) => times > 1)).toEqual([]);
        expect(acknowledged.filter((key) => !received.has(key))).toEqual([]);
        expect(errors.filter((code) => code !== "EHOSTUNREACH")).toEqual([]);
        expect(acknowledged.length).toBeGreaterThan(30 * STALLS);
      },
    };
  });
});

it("retained values end the same everywhere, and never go back", { timeout: LIMIT }, async () => {
  await standStill(() => {
    const published = new Map<string, number>();
    const got = new Map<string, number>();
    const faults: string[] = [];
    const take = (at: string, topic: string, value: number): void => {
      const key = `${at} ${topic}`;
      if (value <= (got.get(key) ?? -1)) faults.push(`${key}: ${value} after ${got.get(key)}`);
      got.set(key, value);
    };
    return {
      start: (node, name) =>
        node.subscribe("state/+", { retained: true }, ({ topic, data }) => take(name, topic, Number(data))),
      turn: (node, name, count) => {
        published.set(`state/${name}`, count);
        void node.publish(`state/${name}`, `${count}`, { retain: true });
      },
      end: async (nodes) => {
        expect(faults).toEqual([]);
        for (const name of NAMES)
          for (const [topic, value] of published)
            expect([name, topic, got.get(`${name} ${topic}`)]).toEqual([name, topic, value]);
        const ids = [...nodes.values()].map((node) => node.members().length);
        expect(ids).toEqual([5, 5, 5, 5, 5]);
      },
    };
  });
});

it("endpoints that were withdrawn are in no list, and those that are announced in all", {
  timeout: 120_000,
}, async () => {
  await standStill(() => {
    const announced = new Map<string, { endpoint: string; withdraw: () => Promise<unknown> }>();
    const ended: string[] = [];
    return {
      turn: (node, name, count) => {
        if (count % (LONG ? 20 : 5) !== 0) return;
        const before = announced.get(name);
        const endpoint = `tcp://${name}:${9_000 + count}`;
        const program = { drain: async () => undefined, close: async () => void ended.push(endpoint) };
        const announcement = node.announce({ kitchen: endpoint }, program);
        announced.set(name, { endpoint, withdraw: () => announcement.withdraw() });
        void before?.withdraw();
      },
      end: (nodes) => {
        const all = [...announced.values()].map(({ endpoint }) => endpoint).sort();
        for (const [name, node] of nodes) {
          const known = node.resolve("kitchen").flatMap(({ endpoints }) => endpoints.kitchen ?? []);
          expect([name, ...known.sort()]).toEqual([name, ...all]);
        }
        expect(ended.filter((endpoint) => all.includes(endpoint))).toEqual([]);
        expect(ended.length).toBeGreaterThan(STALLS / 2);
      },
    };
  });
});
