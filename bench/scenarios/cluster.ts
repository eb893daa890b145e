/** Scenarios of clusters: real processes join, are killed, are paused, and are cut off from each other. */
import { BadInput } from "../bad-input.js";
import type { Parameters, Scenario } from "../contract.js";
import { positive } from "./kit.js";

/** Common part: one side starts the processes, and the figures are measured by its clock. */
const CLUSTER: Omit<Scenario, "name" | "question" | "result" | "count" | "parameters"> = {
  metric: { name: "milliseconds", unit: "ms", better: "lower" },
  transports: ["tcp"],
  sizes: [],
  smokeSizes: [],
  scales: false,
  timeout: 600,
  roles(_chosen, count) {
    return [{ role: "cluster", measured: true, expects: { messages: count, ordered: true } }];
  },
  references: ["serf"],
};

/** Median and worst of the side's latencies. */
const MILLISECONDS: Pick<Scenario, "result" | "columns"> = {
  result([cluster]) {
    const of = (percentile: string) => (cluster?.latency?.[percentile] ?? Number.NaN) / 1e3;
    return { milliseconds: of("50"), worst: of("100"), ...cluster?.extra };
  },
  columns: [{ name: "worst", title: "worst", unit: "ms" }],
};

const PROCESSES = { values: [10], smoke: [3], help: "processes of the cluster, one node each" };

/** Measured from the last node's `ready`; the scenario start-up measures the start of a program. */
export const clusterJoin: Scenario = {
  name: "cluster-join",
  question: "How long after the start of the last node does every node of a cluster see every other?",
  ...CLUSTER,
  ...MILLISECONDS,
  parameters: { processes: { ...PROCESSES, values: [10, 40] } },
  count({ parameters }, smoke) {
    positive(parameters, "processes");
    return smoke ? { count: 1, warmup: 0 } : { count: 5, warmup: 0 };
  },
};

export const clusterKill: Scenario = {
  name: "cluster-kill",
  question: "How long after kill -9 of a process does every other know that its node is gone?",
  ...CLUSTER,
  ...MILLISECONDS,
  parameters: { processes: PROCESSES },
  count({ parameters }, smoke) {
    positive(parameters, "processes");
    return smoke ? { count: 1, warmup: 0 } : { count: 10, warmup: 0 };
  },
};

export const clusterSilence: Scenario = {
  name: "cluster-silence",
  question: "How long does a cluster take to lose a paused node, and to have it back?",
  ...CLUSTER,
  ...MILLISECONDS,
  parameters: { processes: PROCESSES },
  count({ parameters }, smoke) {
    positive(parameters, "processes");
    return smoke ? { count: 1, warmup: 0 } : { count: 10, warmup: 0 };
  },
  columns: [
    { name: "worst", title: "worst", unit: "ms" },
    { name: "backMilliseconds", title: "back", unit: "ms" },
    { name: "worstBackMilliseconds", title: "worst back", unit: "ms" },
  ],
};

/** Four nodes in a network namespace each; the link between two and two goes down. Requires root. */
export const clusterCut: Scenario = {
  name: "cluster-cut",
  question: "How long until a cluster of four notices a cut in the middle, and until it has converged again?",
  ...CLUSTER,
  ...MILLISECONDS,
  parameters: { seconds: { values: [60], smoke: [1], help: "duration of the cut in s" } },
  count({ parameters }, smoke) {
    positive(parameters, "seconds");
    return smoke ? { count: 1, warmup: 0 } : { count: 3, warmup: 0 };
  },
  columns: [
    { name: "worst", title: "worst", unit: "ms" },
    { name: "healMilliseconds", title: "healed", unit: "ms" },
    { name: "worstHealMilliseconds", title: "worst healed", unit: "ms" },
  ],
};

/** Each node in a network namespace, where the kernel counts sent bytes. Requires root. */
export const clusterIdle: Scenario = {
  name: "cluster-idle",
  question: "How much does an idle node send, including headers?",
  ...CLUSTER,
  metric: { name: "bytesPerSecond", unit: "B/s", better: "lower" },
  parameters: {
    processes: { ...PROCESSES, values: [5, 10, 20] },
    seconds: { values: [10], smoke: [1], help: "duration of the count in s" },
  },
  count({ parameters }) {
    positive(parameters, "processes");
    positive(parameters, "seconds");
    return { count: 1, warmup: 0 };
  },
  result([cluster]) {
    return { bytesPerSecond: Number.NaN, ...cluster?.extra };
  },
  columns: [{ name: "worstBytesPerSecond", title: "busiest node", unit: "B/s" }],
};

/**
 * Runs in virtual time without delays of the machine: only the protocol, at sizes for which no machine has processes.
 */
export const clusterSimulated: Scenario = {
  name: "cluster-simulated",
  question: "How long does a large cluster with lossy links take to lose a silent node, in virtual time?",
  ...CLUSTER,
  parameters: {
    nodes: { values: [30, 100], smoke: [5], help: "nodes, each on a separate machine" },
    loss: { values: [0.01], smoke: [0.01], help: "share of lost packets" },
  },
  count({ parameters }, smoke) {
    positive(parameters, "nodes");
    return smoke ? { count: 1, warmup: 0 } : { count: 10, warmup: 0 };
  },
  roles(_chosen, count) {
    return [{ role: "world", measured: true, expects: { messages: count, ordered: true } }];
  },
  result([world]) {
    const of = (percentile: string) => (world?.latency?.[percentile] ?? Number.NaN) / 1e3;
    return { milliseconds: of("50"), p99: of("99"), ...world?.extra };
  },
  columns: [
    { name: "p99", title: "p99", unit: "ms" },
    { name: "falseDeaths", title: "false deaths", unit: "" },
    { name: "bytesPerSecond", title: "sent by an idle node", unit: "B/s" },
  ],
};

/** Figures of one process that runs the rules in virtual time. */
const RULES = (role: string): Pick<Scenario, "roles" | "result" | "timeout"> => ({
  timeout: 86_400,
  roles(_chosen, count) {
    return [{ role, measured: true, expects: { messages: count, ordered: true } }];
  },
  result([played]) {
    const of = (percentile: string) => (played?.latency?.[percentile] ?? Number.NaN) / 1e3;
    return { milliseconds: of("50"), p99: of("99"), worst: of("100"), ...played?.extra };
  },
});

/** Takes half a minute of processor time per virtual hour of a thousand nodes, and half a minute for their start. */
export const clusterLarge: Scenario = {
  name: "cluster-large",
  question:
    "How long do a thousand nodes with lossy links take to lose a killed process, and which do they lose by mistake?",
  ...CLUSTER,
  ...RULES("large"),
  parameters: {
    nodes: {
      values: [1_000],
      smoke: [20],
      help: "nodes, up to 2,000; each has a record of every other: 1,000 take 1.4 GB",
    },
    hours: { values: [0.1], smoke: [0.02], help: "virtual hours, a process killed every two minutes" },
    loss: { values: [0.01], smoke: [0.01], help: "share of lost packets" },
  },
  count({ parameters }) {
    atMost(parameters, "nodes", 2_000);
    atMost(parameters, "hours", 1_000);
    return { count: 1, warmup: 0 };
  },
  columns: [
    { name: "p99", title: "p99", unit: "ms" },
    { name: "worst", title: "worst", unit: "ms" },
    { name: "detections", title: "detections", unit: "" },
    { name: "falseDeaths", title: "false deaths", unit: "" },
    { name: "bytesPerSecond", title: "sent by an idle node", unit: "B/s" },
  ],
};

export const clusterStalls: Scenario = {
  name: "cluster-stalls",
  question:
    "How many healthy nodes are lost by mistake while others are paused for seconds, with local health and without?",
  ...CLUSTER,
  ...RULES("stalls"),
  metric: { name: "falseDeaths", unit: "", better: "lower" },
  parameters: {
    nodes: { values: [60], smoke: [12], help: "nodes, a third of which are paused at times; up to 500" },
    hours: { values: [0.1], smoke: [0.005], help: "virtual hours of each of the seeds" },
  },
  count({ parameters }, smoke) {
    atMost(parameters, "nodes", 500);
    atMost(parameters, "hours", 100);
    return smoke ? { count: 1, warmup: 0 } : { count: 7, warmup: 0 };
  },
  columns: [{ name: "withoutLocalHealth", title: "without local health", unit: "" }],
};

/** Members are simulated: the figures are those of one node. */
export const clusterCrowd: Scenario = {
  name: "cluster-crowd",
  question: "What does an idle node of a large cluster send, and keep for each member?",
  ...CLUSTER,
  ...RULES("crowd"),
  metric: { name: "bytesPerSecond", unit: "B/s", better: "lower" },
  parameters: {
    nodes: {
      values: [100, 1_000, 10_000],
      smoke: [100],
      help: "members, each with tags, a prop and an endpoint; up to 16,000",
    },
  },
  count({ parameters }) {
    atMost(parameters, "nodes", 16_000);
    return { count: 1, warmup: 0 };
  },
  columns: [{ name: "bytesPerMember", title: "memory per member", unit: "B" }],
  growth: "nodes",
};

/** @throws BadInput */
function atMost(parameters: Parameters, name: string, most: number): void {
  if (positive(parameters, name) > most)
    throw new BadInput(`${name} must be at most ${most}; got ${parameters[name]}`);
}
