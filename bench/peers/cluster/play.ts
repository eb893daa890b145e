/** The role `cluster` of the scenarios of clusters: starts the agents, disturbs them, and takes the time. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Latencies } from "../node/histogram.js";
import type { Side } from "../node/side.js";
import { type AgentKind, Cluster } from "./agents.js";
import { Networks } from "./networks.js";
import { type ClusterScenario, clusterObstacle } from "./scenarios.js";

/** ms for which a cluster is left alone between two disturbances, so that its rumours have died down. */
const QUIET = 2_000;
/** Beyond the time of a silence until it is noticed, before the process goes on. */
const LONGER = 1_000;
const NANOSECONDS = 1e6;

interface Play {
  readonly side: Side;
  readonly kind: AgentKind;
  readonly folder: string;
  readonly processes: number;
}

/** What a scenario gives besides the latencies of `done`. */
type Extra = Record<string, number>;

const PLAYS: Readonly<Record<ClusterScenario, (play: Play, latencies: Latencies) => Promise<Extra>>> = {
  "cluster-join": joining,
  "cluster-kill": kill,
  "cluster-silence": silence,
  "cluster-cut": cut,
  "cluster-idle": idle,
};

export async function playCluster(side: Side, kind: AgentKind): Promise<void> {
  const play = PLAYS[side.scenario as ClusterScenario] as (typeof PLAYS)[ClusterScenario] | undefined;
  if (play === undefined) throw new Error(`nobody plays ${side.scenario} here`);
  const obstacle = clusterObstacle(side.scenario);
  if (obstacle !== undefined) throw new Error(obstacle);
  const folder = await mkdtemp(join(tmpdir(), "shoal-bench-cluster-"));
  try {
    const latencies = new Latencies();
    await side.ready();
    const extra = await play({ side, kind, folder, processes: side.number("processes", 10) }, latencies);
    side.end();
    await side.done({ messages: side.count, bytes: 0, ordered: true, latency: latencies.table, extra });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** From the last one's `ready` until all see all; a cluster for each. */
async function joining({ side, kind, folder, processes }: Play, latencies: Latencies): Promise<Extra> {
  for (let round = 0; round < side.warmup + side.count; round++) {
    const cluster = new Cluster(kind, folder);
    try {
      await cluster.startAll(processes);
      const at = await cluster.until("all see all", () => cluster.agree());
      const ready = Math.max(...cluster.agents.map(({ readyAt }) => readyAt));
      if (round >= side.warmup) latencies.record((at - ready) * NANOSECONDS);
    } finally {
      await cluster.end();
    }
  }
  return {};
}

/** From kill -9 of one until all others know; then it is started again. */
async function kill({ side, kind, folder, processes }: Play, latencies: Latencies): Promise<Extra> {
  const cluster = new Cluster(kind, folder);
  try {
    await cluster.startAll(processes);
    await cluster.until("all see all", () => cluster.agree());
    for (let round = 0; round < side.warmup + side.count; round++) {
      await pause(QUIET);
      // The first one stays: others join there.
      const victim = 1 + (round % (processes - 1));
      const from = performance.now();
      cluster.signal(victim, "SIGKILL");
      const at = await cluster.until("the loss is known", () => cluster.others(victim, false));
      if (round >= side.warmup) latencies.record((at - from) * NANOSECONDS);
      await cluster.start(victim);
      await cluster.until("all see all again", () => cluster.agree());
    }
  } finally {
    await cluster.end();
  }
  return {};
}

/** From SIGSTOP of one until all others know, and from SIGCONT until all others have it back. */
async function silence({ side, kind, folder, processes }: Play, latencies: Latencies): Promise<Extra> {
  const backs = new Latencies();
  const cluster = new Cluster(kind, folder);
  try {
    await cluster.startAll(processes);
    await cluster.until("all see all", () => cluster.agree());
    for (let round = 0; round < side.warmup + side.count; round++) {
      await pause(QUIET);
      const victim = 1 + (round % (processes - 1));
      const from = performance.now();
      cluster.signal(victim, "SIGSTOP");
      const lost = await cluster.until("the silence is known", () => cluster.others(victim, false));
      await pause(LONGER);
      const continued = performance.now();
      cluster.signal(victim, "SIGCONT");
      const back = await cluster.until("it is back", () => cluster.others(victim, true));
      if (round >= side.warmup) {
        latencies.record((lost - from) * NANOSECONDS);
        backs.record((back - continued) * NANOSECONDS);
      }
      await cluster.until("all see all again", () => cluster.agree());
    }
  } finally {
    await cluster.end();
  }
  return { backMilliseconds: milliseconds(backs, "50"), worstBackMilliseconds: milliseconds(backs, "100") };
}

/** Two and two nodes that are cut for a while: until all know, and from the end of the cut until all see all. */
async function cut({ side, kind, folder }: Play, latencies: Latencies): Promise<Extra> {
  const seconds = side.number("seconds", 60);
  const healed = new Latencies();
  const networks = new Networks(4);
  const cluster = new Cluster(kind, folder, networks.places);
  try {
    await cluster.startAll(4);
    await cluster.until("all see all", () => cluster.agree());
    for (let round = 0; round < side.warmup + side.count; round++) {
      await pause(QUIET);
      const from = performance.now();
      networks.cut(true);
      const noticed = await cluster.until(
        "the cut is known",
        () => cluster.agree([0, 1]) && cluster.agree([2, 3]),
      );
      await pause(Math.max(0, from + seconds * 1_000 - performance.now()));
      const joined = performance.now();
      networks.cut(false);
      const whole = await cluster.until("the cut is healed", () => cluster.agree());
      if (round >= side.warmup) {
        latencies.record((noticed - from) * NANOSECONDS);
        healed.record((whole - joined) * NANOSECONDS);
      }
    }
  } finally {
    await cluster.end();
    networks.remove();
  }
  return { healMilliseconds: milliseconds(healed, "50"), worstHealMilliseconds: milliseconds(healed, "100") };
}

/** What a node sends while nothing happens: bytes on its link, headers included. */
async function idle({ side, kind, folder, processes }: Play, latencies: Latencies): Promise<Extra> {
  const seconds = side.number("seconds", 10);
  const networks = new Networks(processes);
  const cluster = new Cluster(kind, folder, networks.places);
  try {
    await cluster.startAll(processes);
    await cluster.until("all see all", () => cluster.agree());
    await pause(2 * QUIET);
    const before = networks.places.map((_, host) => networks.sentBytes(host));
    const from = performance.now();
    await pause(seconds * 1_000);
    const passed = (performance.now() - from) / 1e3;
    const rates = before.map((bytes, host) => (networks.sentBytes(host) - bytes) / passed);
    latencies.record(passed * 1e9);
    return {
      bytesPerSecond: rates.reduce((sum, rate) => sum + rate, 0) / processes,
      worstBytesPerSecond: Math.max(...rates),
    };
  } finally {
    await cluster.end();
    networks.remove();
  }
}

function milliseconds(latencies: Latencies, percentile: string): number {
  return (latencies.table[percentile] ?? Number.NaN) / 1e3;
}
