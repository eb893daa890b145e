/** Nodes, several per process: they join, one publishes to another or to all, all are at rest, one is paused. */
import { setTimeout as pause } from "node:timers/promises";
import { ClusterNode, type ClusterNodeOptions } from "shoal/cluster";
import { Bodies } from "../../../bodies.js";
import { Latencies } from "../histogram.js";
import { Receiving, type Stream } from "../receiving.js";
import type { Side } from "../side.js";
import type { Role, Roles } from "./role.js";

const TOPIC = "bench/publish";
const GREETING = "bench/greeting";
const TIMES = "bench/times";
/** Publishes after which the last one is awaited: it resolves at once unless a subscriber is behind. */
const AWAITED = 64;
/** ms between polls of other nodes, and between two messages to a sleeper. */
const LOOK = 10;
const EVERY = 5;
/** ms before a node at rest is measured, and before a pause. */
const QUIET = 2_000;
const BEFORE_PAUSE = 200;
const NANOSECONDS = 1e6;

export async function open(name: string, options: Partial<ClusterNodeOptions>): Promise<ClusterNode> {
  const node = new ClusterNode(optionsOf(name, options));
  await node.start();
  return node;
}

function optionsOf(name: string, options: Partial<ClusterNodeOptions>): ClusterNodeOptions {
  return {
    name,
    cluster: `bench-${process.ppid}`,
    multicast: false,
    registry: false,
    messaging: { protocols: ["tcp"] },
    ...options,
  };
}

/** Opens the nodes of this process. */
async function openEach(side: Side, options: Partial<ClusterNodeOptions>): Promise<ClusterNode[]> {
  const nodes: ClusterNode[] = [];
  for (let i = 0; i < side.number("each", 1); i++)
    nodes.push(await open(`${side.role}-${side.index}-${i}`, { seeds: [side.endpoint], ...options }));
  return nodes;
}

/** Waits until the subscriptions are known. The count of `publish` includes new members, whose are not. */
async function subscribed(node: ClusterNode, expected: number): Promise<void> {
  const known = (): number => node.routes({ topic: TOPIC })[0]?.nodes.length ?? 0;
  while (known() < expected) await pause(LOOK);
}

async function publishAll(side: Side, node: ClusterNode, onWarm = () => side.begin()): Promise<void> {
  const bodies = new Bodies(side.size);
  const options = { onFull: "wait", timeout: 60_000 } as const;
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) onWarm();
    const published = node.publish(TOPIC, bodies.make(k), options);
    if (k % AWAITED === AWAITED - 1) await published;
  }
}

const publisher: Role = async (side) => {
  const node = await open(side.role, {});
  await side.ready(node.address);
  const expected = side.number("nodes", 1);
  await subscribed(node, expected);
  let before = process.cpuUsage();
  await publishAll(side, node, () => {
    before = process.cpuUsage();
    side.begin();
  });
  const copies = await acknowledged(node);
  side.end();
  const { user, system } = process.cpuUsage(before);
  const least = expected * (side.warmup + side.count);
  if (copies < least) throw new Error(`${copies} copies were acknowledged; ${least} at least were sent`);
  await side.done({
    messages: side.count,
    bytes: side.count * side.size,
    extra: { microsecondsPerCopy: (user + system) / side.count / expected },
  });
  await node.leave();
};

/**
 * Waits until all messages are acknowledged.
 * @throws Error if the statistics of a link have another count
 */
async function acknowledged(node: ClusterNode): Promise<number> {
  for (;;) {
    const peers = node.stats().messaging?.links.peers ?? [];
    let copies = 0;
    for (const { name, sent, delivered, waiting, dropped, lost } of peers) {
      if (dropped + lost > 0 || sent !== delivered + waiting)
        throw new Error(`to ${name}: ${sent} sent, ${delivered} delivered, ${dropped} dropped, ${lost} lost`);
      copies += delivered;
    }
    if (peers.every(({ waiting }) => waiting === 0)) return copies;
    await pause(LOOK);
  }
}

/** Nodes of this process, each of which receives everything: subscriptions become known in the order of the calls. */
async function receiveAll(side: Side, nodes: readonly ClusterNode[], address?: string): Promise<void> {
  const receiving = new Receiving(
    side,
    nodes.map(() => side.checker()),
  );
  for (const [i, node] of nodes.entries()) {
    const stream = receiving.streams[i] as Stream;
    node.subscribe(TOPIC, ({ data }) => void stream.take(data));
  }
  await side.ready(address);
  await receiving.done();
  for (const node of nodes) await node.leave();
}

const subscribers: Role = async (side) => receiveAll(side, await openEach(side, {}));

/** Roles of cluster-forward: one node each. */
const consumer: Role = async (side) => {
  const node = await open(side.role, {});
  await receiveAll(side, [node], node.address);
};

const producer: Role = async (side) => {
  const node = await open(side.role, { seeds: [side.endpoint] });
  await subscribed(node, 1);
  await side.ready();
  await publishAll(side, node);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await node.leave();
};

const seed: Role = async (side) => {
  const node = await open(side.role, {});
  await side.ready(node.address);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await node.leave();
};

/** Measured after a pause, in which the last joins have become known everywhere. */
const idlers: Role = async (side) => {
  const nodes = await openEach(side, {});
  await side.ready();
  const expected = side.number("nodes", 1);
  while (nodes.some((node) => node.members({ self: false }).length < expected)) await pause(LOOK);
  await pause(QUIET);
  const sent = (): number => nodes.reduce((sum, node) => sum + node.stats().bytesSent, 0);
  const before = sent();
  const seconds = side.number("seconds", 10);
  side.begin();
  await pause(1_000 * seconds);
  side.end();
  const extra = { bytesPerSecond: (sent() - before) / seconds };
  await side.done({ messages: nodes.length, bytes: 0, extra });
  for (const node of nodes) await node.leave();
};

/** By the discovery that programs have by default. */
const joiners: Role = async (side) => {
  await side.ready();
  const node = new ClusterNode({ name: `joiner-${side.index}`, cluster: `bench-${process.ppid}` });
  await node.start();
  const others = side.number("nodes", 1) - 1;
  while (node.members({ self: false }).length < others)
    await new Promise((resolve) => node.events.once("joined", resolve));
  side.end();
  await side.done({ messages: 1, bytes: 0 });
  await node.leave();
};

/** Answers until it is stopped. */
const echo: Role = async (side) => answer(side, await open(side.role, { seeds: [side.endpoint] }));

const crowd: Role = async (side) => {
  const node = new ClusterNode(optionsOf(side.role, { seeds: [side.endpoint] }));
  for (let i = side.number("routes", 1); i > 0; i--)
    node.subscribe(`crowd/${i}/temperature`, () => undefined);
  await side.ready();
  await node.start();
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await node.close();
};

const meter: Role = async (side) => {
  const node = await open(side.role, {});
  const latencies = new Latencies(100_000);
  let answers = 0;
  node.subscribe(GREETING, ({ data }) => {
    answers += 1;
    latencies.record((performance.now() - Number(data.toString())) * NANOSECONDS);
  });
  await side.ready(node.address);
  const from = performance.now();
  const timer = setInterval(() => void node.publish(TIMES, String(performance.now())), 1);
  const routes = side.number("routes", 1);
  while ((node.stats().messaging?.routes.routes ?? 0) <= routes) await pause(LOOK);
  const knownSeconds = (performance.now() - from) / 1e3;
  while (answers < side.count) await pause(LOOK);
  clearInterval(timer);
  side.end();
  const extra = { knownSeconds };
  await side.done({ messages: side.count, bytes: 0, latency: latencies.table, extra });
  await node.leave();
};

/** The waker pauses this process. */
const sleeper: Role = async (side) => {
  const props = { pid: String(process.pid) };
  await answer(side, await open(side.role, { seeds: [side.endpoint], props }));
};

async function answer(side: Side, node: ClusterNode): Promise<void> {
  node.subscribe(TIMES, ({ data }) => void node.publish(GREETING, data));
  await side.ready();
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await node.leave();
}

const waker: Role = async (side) => {
  const node = await open(side.role, {});
  let sent = 0;
  let answered = 0;
  node.subscribe(GREETING, ({ data }) => {
    answered = Number(data.toString());
  });
  await side.ready(node.address);
  const timer = setInterval(() => void node.publish(TIMES, String(++sent)), EVERY);
  const answerAfter = async (number: number): Promise<void> => {
    while (answered <= number) await pause(1);
  };
  await answerAfter(0);
  const pid = Number(node.members({ self: false })[0]?.props.pid);
  const latencies = new Latencies(side.count);
  for (let round = 0; round < side.count; round++) {
    await pause(BEFORE_PAUSE);
    process.kill(pid, "SIGSTOP");
    await pause(1_000 * side.number("seconds", 1));
    const from = performance.now();
    process.kill(pid, "SIGCONT");
    await answerAfter(sent);
    latencies.record((performance.now() - from) * NANOSECONDS);
  }
  side.end();
  clearInterval(timer);
  await side.done({ messages: side.count, bytes: 0, latency: latencies.table });
  await node.leave();
};

export const roles: Roles = {
  consumer,
  producer,
  publisher,
  subscribers,
  seed,
  idlers,
  joiners,
  echo,
  crowd,
  meter,
  sleeper,
  waker,
};
