/**
 * Rules of clusters in virtual time without sockets and seals, for sizes and times for which no machine has
 * processes. The rules are those of the built library, in a separate file.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ROOT } from "../../../places.js";
import { Latencies } from "../histogram.js";
import type { Side } from "../side.js";
import type { Roles } from "./role.js";

/** Part of the exports of src/cluster/simulation. */
interface SimulatedNode {
  readonly id: string;
  readonly index: number;
  readonly stalledUntil: number;
  sentBytes: number;
  streamBytes: number;
}
interface World {
  readonly nodes: readonly SimulatedNode[];
  readonly now: number;
  readonly random: () => number;
  readonly falseDeaths: number;
  onChange:
    | ((
        at: SimulatedNode,
        change: { readonly type: string; readonly member?: { readonly id: string } },
      ) => void)
    | undefined;
  start(count: number): void;
  run(ms: number): void;
  runUntil(holds: () => boolean, most: number, step?: number): number;
  agree(): boolean;
  crash(node: SimulatedNode): void;
  restart(node: SimulatedNode): void;
  stall(node: SimulatedNode, ms: number): void;
}
interface Crowd {
  bytes: number;
  join(): void;
  run(ms: number): void;
}
interface Simulation {
  readonly World: new (options: {
    readonly seed: number;
    readonly loss: number;
    readonly counts?: boolean;
    readonly localHealth?: boolean;
  }) => World;
  readonly Crowd: new (count: number) => Crowd;
}

const HOUR = 3_600_000;
/**
 * Virtual ms: maximum until all views agree; of quiet; of counting; between a crash and the restart, and the next
 * crash.
 */
const AGREE = 120_000;
const QUIET = 30_000;
const COUNTED = 60_000;
const DOWN = 60_000;
/** In cluster-stalls a third of the nodes are paused at times: two pauses begin each second, for 2 to 8 s. */
const SICK = 1 / 3;
const STALLS = 2;
const SHORTEST_STALL = 2_000;
const LONGEST_STALL = 8_000;

async function simulation(): Promise<Simulation> {
  const file = join(ROOT, "dist/cluster/simulation/index.js");
  return (await import(pathToFileURL(file).href)) as Simulation;
}

function pick(world: World, nodes: readonly SimulatedNode[]): SimulatedNode {
  return nodes[Math.floor(world.random() * nodes.length)] as SimulatedNode;
}

/** A process is killed every two minutes; its host refuses streams. */
const large: Roles[string] = async (side: Side) => {
  const { World } = await simulation();
  const count = side.number("nodes", 1_000);
  const hours = side.number("hours", 0.1);
  const latencies = new Latencies();
  await side.ready();
  const world = new World({ seed: 1, loss: side.number("loss", 0.01), counts: true });
  world.start(count);
  if (world.runUntil(() => world.agree(), AGREE, 50) < 0) throw new Error("the nodes do not agree");
  world.run(QUIET);
  for (const node of world.nodes) node.sentBytes = node.streamBytes = 0;
  world.run(COUNTED);
  const sent = world.nodes.reduce((sum, { sentBytes, streamBytes }) => sum + sentBytes + streamBytes, 0);
  let [killed, since]: [SimulatedNode | undefined, number] = [undefined, 0];
  let detections = 0;
  world.onChange = (_, { type, member }) => {
    if (type !== "lost" || member?.id !== killed?.id) return;
    detections += 1;
    latencies.record((world.now - since) * 1e6);
  };
  for (const end = world.now + hours * HOUR; world.now < end; ) {
    killed = pick(world, world.nodes);
    since = world.now;
    world.crash(killed);
    world.run(DOWN);
    world.restart(killed);
    world.run(DOWN);
  }
  side.end();
  const extra = {
    falseDeaths: world.falseDeaths,
    detections,
    bytesPerSecond: sent / count / (COUNTED / 1e3),
  };
  await side.done({ messages: side.count, bytes: 0, ordered: true, latency: latencies.table, extra });
};

/** Counts deaths of nodes that were never paused, with local health and without it. */
const stalls: Roles[string] = async (side: Side) => {
  const { World } = await simulation();
  const count = side.number("nodes", 60);
  const minutes = 60 * side.number("hours", 0.1);
  await side.ready();
  const deaths = (seed: number, localHealth: boolean): number => {
    const world = new World({ seed, loss: 0.05, localHealth });
    world.start(count);
    world.run(5_000);
    const sick = world.nodes.slice(0, Math.ceil(count * SICK));
    const sound = new Set(world.nodes.slice(sick.length).map(({ id }) => id));
    let found = 0;
    world.onChange = (_, { type, member }) => {
      if (type === "lost" && member !== undefined && sound.has(member.id)) found += 1;
    };
    for (let second = 0; second < 60 * minutes; second++) {
      for (let begun = 0; begun < STALLS; begun++) {
        const node = pick(world, sick);
        const ms = SHORTEST_STALL + Math.floor(world.random() * (LONGEST_STALL - SHORTEST_STALL));
        if (node.stalledUntil <= world.now) world.stall(node, ms);
      }
      world.run(1_000);
    }
    return found;
  };
  let [falseDeaths, withoutLocalHealth] = [0, 0];
  for (let seed = 1; seed <= side.count; seed++) {
    falseDeaths += deaths(seed, true);
    withoutLocalHealth += deaths(seed, false);
  }
  side.end();
  await side.done({
    messages: side.count,
    bytes: 0,
    ordered: true,
    extra: { falseDeaths, withoutLocalHealth },
  });
};

const crowd: Roles[string] = async (side: Side) => {
  const { Crowd } = await simulation();
  const count = side.number("nodes", 1_000);
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;
  await side.ready();
  const among = new Crowd(count);
  collect();
  const before = process.memoryUsage().heapUsed;
  among.join();
  among.run(3 * COUNTED);
  among.bytes = 0;
  among.run(COUNTED);
  const bytesPerSecond = among.bytes / (COUNTED / 1e3);
  collect();
  const bytesPerMember = (process.memoryUsage().heapUsed - before) / count;
  side.end();
  await side.done({
    messages: side.count,
    bytes: 0,
    ordered: true,
    extra: { bytesPerSecond, bytesPerMember },
  });
};

export const roles: Roles = { large, stalls, crowd };
