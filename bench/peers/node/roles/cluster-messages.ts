/** Nodes, several per process: one publishes to another or to all, all are at rest, one joins with many routes. */
import { setTimeout as pause, setImmediate } from "node:timers/promises";
import { ClusterNode, type ClusterNodeOptions } from "shoal/cluster";
import { Bodies } from "../../../bodies.js";
import { Latencies } from "../histogram.js";
import { Receiving, type Stream } from "../receiving.js";
import type { Side } from "../side.js";
import type { Role, Roles } from "./role.js";

/** Key of a run on this host only. */
const KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const TOPIC = "bench/publish";
const GREETING = "bench/greeting";
const TIMES = "bench/times";
/** Publishes after which the last one is awaited: it resolves at once unless a subscriber is behind. */
const AWAITED = 64;
/** ms between polls of other nodes, and between two timed messages. */
const LOOK = 10;
const EVERY = 5;
/** Filters after which the other nodes, if any, must know them. */
const FILTERS_AT_ONCE = 10_000;
/**
 * ms of timed messages before the node with the routes joins; of them the last part counts. For few routes, those of
 * a smoke run.
 */
const QUIET = 4_000;
const SMOKE_QUIET = 200;
const MANY_ROUTES = 100_000;
const NANOSECONDS = 1e6;

export async function open(name: string, options: Partial<ClusterNodeOptions>): Promise<ClusterNode> {
  const node = new ClusterNode({
    name,
    group: `bench-${process.ppid}`,
    multicast: false,
    registry: false,
    messaging: { protocols: ["tcp"] },
    ...options,
  });
  await node.start();
  return node;
}

/** Opens the nodes of this process. */
async function openEach(side: Side, options: Partial<ClusterNodeOptions>): Promise<ClusterNode[]> {
  const nodes: ClusterNode[] = [];
  for (let i = 0; i < side.number("each", 1); i++)
    nodes.push(await open(`${side.role}-${side.index}-${i}`, { seeds: [side.endpoint], ...options }));
  return nodes;
}

const keyOf = (side: Side): Partial<ClusterNodeOptions> =>
  side.scenario === "cluster-forward-secure" ? { key: KEY } : {};

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
  const node = await open(side.role, keyOf(side));
  await receiveAll(side, [node], node.address);
};

const producer: Role = async (side) => {
  const node = await open(side.role, { seeds: [side.endpoint], ...keyOf(side) });
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
  await pause(QUIET / 2);
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

/** Answers each message until it is stopped. The waker pauses this process. */
const sleeper: Role = async (side) => {
  const props = { pid: String(process.pid) };
  const node = await open(side.role, { seeds: [side.endpoint], props });
  node.subscribe(TIMES, ({ data }) => void node.publish(GREETING, data));
  await side.ready();
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await node.leave();
};

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
    await pause(SMOKE_QUIET);
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

const quietOf = (side: Side): number => (side.count < MANY_ROUTES ? SMOKE_QUIET : QUIET);

/**
 * Records times of the writer's messages from the holder's joining until its routes are known here; and before that,
 * while the holder has its routes already and waits.
 */
const reader: Role = async (side) => {
  const node = await open(side.role, {});
  /** Latencies in ms from the holder's joining, and those before with their arrival. */
  const during: number[] = [];
  let before: { readonly at: number; readonly took: number }[] = [];
  let isTaken = false;
  node.subscribe(TIMES, ({ data }) => {
    const at = performance.now();
    const took = performance.timeOrigin + at - Number(data.toString());
    if (isTaken) during.push(took);
    else before.push({ at, took });
  });
  await side.ready(node.address);
  while (!node.members({ self: false }).some(({ name }) => name.startsWith("holder"))) await pause(LOOK);
  side.begin();
  isTaken = true;
  // The joining takes some of that time, which does not count.
  const joined = performance.now() - quietOf(side) / 8;
  before = before.filter(({ at }) => at <= joined && at > joined - quietOf(side) / 2);
  while ((node.stats().messaging?.routes.routes ?? 0) < side.count) await pause(LOOK);
  side.end();
  // Waits for some messages even if there are few routes.
  await pause(10 * EVERY);
  const latencies = new Latencies(during.length);
  for (const took of during) latencies.record(took * NANOSECONDS);
  const quiet = before.map(({ took }) => took).sort((a, b) => a - b);
  const p99Before = quiet[Math.ceil(quiet.length * 0.99) - 1] ?? Number.NaN;
  await side.done({ messages: side.count, bytes: 0, latency: latencies.table, extra: { p99Before } });
  await node.leave();
};

const writer: Role = async (side) => {
  const node = await open(side.role, { seeds: [side.endpoint] });
  const timer = setInterval(() => {
    void node.publish(TIMES, String(performance.timeOrigin + performance.now()));
  }, EVERY);
  await side.ready();
  await side.stopped;
  clearInterval(timer);
  await side.done({ messages: 0, bytes: 0 });
  await node.leave();
};

/** Creates its routes before it meets another node, and then waits for a while. */
const holder: Role = async (side) => {
  const node = await open(side.role, {});
  const ignore = (): void => undefined;
  for (let i = 0; i < side.count; i++) {
    const { ready } = node.subscribe(`plant/${i % 997}/sensor/${i}`, ignore);
    if (i % FILTERS_AT_ONCE === FILTERS_AT_ONCE - 1) await ready;
    else if (i % 1_000 === 0) await setImmediate();
  }
  await side.ready();
  await pause(quietOf(side));
  await node.join(side.endpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await node.leave();
};

export const roles: Roles = {
  consumer,
  producer,
  publisher,
  subscribers,
  seed,
  idlers,
  sleeper,
  waker,
  reader,
  writer,
  holder,
};
