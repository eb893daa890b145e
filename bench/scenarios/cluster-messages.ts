/** Messages between many nodes of a cluster: publishing to all, and a joining node with many routes. */
import type { Scenario, SideReport } from "../contract.js";
import { FAN_OUT_COLUMNS, fanOutFigures, ofRole, positive, streamsOf, sumOf } from "./kit.js";

/** Maximum processes for nodes; above it each process has several nodes, all equally many. */
const MAX_PROCESSES = 40;

/**
 * Messages that each node gets, and a tenth as many before. The number does not depend on the nodes, so that fixed
 * costs of a process, such as the compilers' time, have the same share.
 */
const PUBLISHED = 200_000;
const SMOKE_PUBLISHED = 1_000;

/** Nodes of each process: the smallest number that divides them. */
function nodesOfEach(nodes: number): number {
  let each = Math.ceil(nodes / MAX_PROCESSES);
  while (nodes % each !== 0) each += 1;
  return each;
}

const NODES = {
  values: [10, 40, 100],
  smoke: [2],
  help: `receiving nodes, in up to ${MAX_PROCESSES} processes`,
};

export const clusterPublish: Scenario = {
  name: "cluster-publish",
  question: "How many messages a second of one topic reach all nodes of a cluster from one of them?",
  metric: { name: "deliveriesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp"],
  sizes: [64],
  smokeSizes: [64],
  parameters: { nodes: NODES },
  timeout: 300,
  count({ parameters }, smoke) {
    positive(parameters, "nodes");
    const count = smoke ? SMOKE_PUBLISHED : PUBLISHED;
    return { count, warmup: count / 10 };
  },
  roles({ size, parameters }, count, warmup) {
    const nodes = Number(parameters.nodes);
    const each = nodesOfEach(nodes);
    return [
      { role: "publisher", binds: true, expects: { messages: count, bytes: count * size } },
      {
        role: "subscribers",
        processes: nodes / each,
        measured: true,
        options: { each },
        expects: streamsOf(each, size, warmup, count),
      },
    ];
  },
  result: (done, { size }) => ({
    ...fanOutFigures(done, "subscribers", size),
    microsecondsPerCopy: ofRole(done, "publisher")[0]?.extra?.microsecondsPerCopy ?? Number.NaN,
  }),
  columns: [
    ...FAN_OUT_COLUMNS,
    { name: "microsecondsPerCopy", title: "publisher's processor time per copy", unit: "µs" },
  ],
  growth: "nodes",
};

/** Each node has met every other before the clock starts. */
export const clusterIdle: Scenario = {
  name: "cluster-idle",
  question: "What does a node at rest cost?",
  metric: { name: "cpuMilliseconds", unit: "ms of CPU/s", better: "lower" },
  transports: ["tcp"],
  sizes: [],
  smokeSizes: [],
  parameters: {
    nodes: { ...NODES, help: `nodes, in up to ${MAX_PROCESSES} processes` },
    seconds: { values: [10], smoke: [1], help: "duration of the measurement in s" },
  },
  scales: false,
  timeout: 300,
  count({ parameters }) {
    positive(parameters, "seconds");
    return { count: positive(parameters, "nodes"), warmup: 0 };
  },
  roles({ parameters }) {
    const nodes = Number(parameters.nodes);
    const each = nodesOfEach(nodes);
    return [
      { role: "seed", binds: true, ends: false },
      {
        role: "idlers",
        processes: nodes / each,
        measured: true,
        options: { each },
        expects: { messages: each },
      },
    ];
  },
  result(done, { parameters }) {
    const idlers = ofRole(done, "idlers");
    const perNode = (figure: (report: SideReport) => number) =>
      sumOf(idlers, figure) / Number(parameters.nodes);
    return {
      cpuMilliseconds: 1e3 * perNode(({ cpuSeconds, seconds }) => cpuSeconds / seconds),
      bytesPerSecond: perNode(({ extra }) => extra?.bytesPerSecond ?? Number.NaN),
      megabytes: perNode(({ peakRss }) => peakRss) / 1e6,
    };
  },
  columns: [
    { name: "bytesPerSecond", title: "sent", unit: "B/s" },
    { name: "megabytes", title: "memory", unit: "MB" },
  ],
  growth: "nodes",
};

export const clusterRoutes: Scenario = {
  name: "cluster-routes",
  question:
    "How long until a cluster has the routes of a joining node with many, and how long do messages take meanwhile?",
  metric: { name: "seconds", unit: "s", better: "lower" },
  transports: ["tcp"],
  sizes: [],
  smokeSizes: [],
  parameters: {
    routes: {
      values: [100_000, 1_000_000],
      smoke: [1_000],
      help: "filters of the node; a million takes 1.7 GB",
    },
  },
  scales: false,
  timeout: 300,
  count({ parameters }) {
    return { count: positive(parameters, "routes"), warmup: 0 };
  },
  roles(_chosen, count) {
    return [
      { role: "reader", binds: true, measured: true, expects: { messages: count } },
      { role: "writer", ends: false },
      { role: "holder", ends: false },
    ];
  },
  result([reader]) {
    const of = (percentile: string) => (reader?.latency?.[percentile] ?? Number.NaN) / 1e3;
    return { seconds: reader?.seconds ?? Number.NaN, p99: of("99"), worst: of("100"), ...reader?.extra };
  },
  columns: [
    { name: "p99", title: "p99 of a message meanwhile", unit: "ms" },
    { name: "p99Before", title: "p99 before", unit: "ms" },
    { name: "p99Ratio", title: "meanwhile to before", unit: "" },
    { name: "worst", title: "worst", unit: "ms" },
  ],
  growth: "routes",
};
