/** The cases of docs/performance.md, and the implementations that it compares. `shoal bench page` measures them. */
import type { Scenario } from "./contract.js";
import { casesOf, type PlannedCase } from "./runner/suite.js";

/** Seconds for all cases, and rounds of each. */
export const PAGE_SECONDS = 29 * 60;
export const PAGE_ROUNDS = { least: 3, most: 5 } as const;

/** Columns of the page's first table. */
export const COLUMNS: readonly (readonly [contender: string, title: string])[] = [
  ["shoal-zmtp", "shoal"],
  ["shoal-zmtp-batch", "shoal, batch"],
  ["libzmq", "libzmq in C"],
  ["zeromq", "`zeromq`"],
  ["nats", "NATS"],
];
const OTHERS = ["shoal-zmtp-low-latency", "shoal-zmtp-plain"];
export const PAGE_PEERS = [...COLUMNS.map(([contender]) => contender), ...OTHERS].join(",");

/** Rows of that table: the case by its title. Some have a chart. */
export const TABLE: readonly {
  readonly title: string;
  readonly scenario: string;
  readonly case: string;
  readonly isChart?: true;
}[] = [
  { title: "one way, 64 B", scenario: "throughput", case: "tcp, 64 B", isChart: true },
  { title: "one way, 1 KiB", scenario: "throughput", case: "tcp, 1 KiB" },
  { title: "one way, 64 KiB", scenario: "throughput", case: "tcp, 64 KiB" },
  { title: "round trip, 64 B", scenario: "latency", case: "tcp, 64 B", isChart: true },
  { title: "to 100 subscribers, 64 B", scenario: "fan-out", case: "tcp, 64 B, peers=100", isChart: true },
  { title: "from 100 producers, 64 B", scenario: "fan-in", case: "tcp, 64 B, peers=100" },
  {
    title: "100 clients, DEALER to ROUTER",
    scenario: "request-reply",
    case: "tcp, 64 B, pattern=dealer-router, peers=100",
  },
  { title: "forwarder proxy, 1 KiB", scenario: "proxy", case: "tcp, 1 KiB, kind=forwarder" },
  { title: "one way with CURVE, 1 KiB", scenario: "curve", case: "tcp, 1 KiB, security=curve" },
  { title: "last value cache, 64 B", scenario: "last-value-cache", case: "tcp, 64 B, topics=1000" },
];

/** Sizes and values of parameters by scenario; all combinations of a row are measured. */
const ROWS: readonly (readonly [
  scenario: string,
  sizes: readonly number[],
  set: Readonly<Record<string, readonly (number | string)[]>>,
])[] = [
  ["throughput", [16, 64, 1_024, 65_536, 1_048_576], {}],
  ["latency", [64, 65_536], {}],
  ["latency-under-load", [64], { rate: [1_000, 10_000] }],
  ["fan-out", [64], { peers: [100, 1_000] }],
  ["fan-in", [64], { peers: [100] }],
  ["request-reply", [64], { pattern: ["dealer-router"], peers: [100] }],
  ["pipeline", [64], { workers: [2] }],
  ["proxy", [1_024, 65_536], { kind: ["forwarder", "queue"] }],
  ["proxy", [65_536], { kind: ["round-trip"] }],
  ["connection-storm", [16], { connections: [100, 1_000], before: [10] }],
  ["idle-memory", [16], { connections: [1_000] }],
  ["slow-consumer", [16_384], {}],
  ["subscriptions", [64], { subscriptions: [1_000] }],
  ["curve", [1_024, 65_536], { security: ["curve"] }],
  ["ws", [1_024], { client: ["producer"] }],
  ["tls", [1_024], {}],
  ["start-up", [], {}],
  ["majordomo", [64], { load: ["concurrency-16", "synchronous"] }],
  ["majordomo-under-load", [64], { rate: [10_000] }],
  ["majordomo-growth", [64], { services: [1, 100], asked: [1], workers: [1] }],
  ["majordomo-new-worker", [64], {}],
  ["clone", [64], { peers: [1, 100], keys: [1_000] }],
  ["clone-set", [64], { rate: [10_000] }],
  ["last-value-cache", [64], { topics: [1_000] }],
  ["cluster-forward", [64], {}],
  ["cluster-publish", [64], { nodes: [10] }],
  ["cluster-idle", [], { nodes: [10], seconds: [2] }],
  ["cluster-resume", [], { seconds: [1] }],
  ["service", [64], { window: [1, 256] }],
];

export function pageCases(scenarios: readonly Scenario[], smoke: boolean): PlannedCase[] {
  return ROWS.flatMap(([name, sizes, parameters]) => {
    const scenario = scenarios.find((one) => one.name === name);
    if (scenario === undefined) throw new Error(`page.ts names ${name}, which is no scenario`);
    const chosen = casesOf(scenario, { transports: undefined, sizes, parameters }, smoke);
    return chosen.map((one) => ({ scenario, chosen: one }));
  });
}
