/** Scenarios of clusters. */
import type { Parameters, Scenario } from "../contract.js";
import * as kit from "./kit.js";
import { MESSAGES, oneWay, positive, sent, streamsOf } from "./kit.js";

/** Maximum processes for nodes; above it each process has several nodes, all equally many. */
const MAX_PROCESSES = 40;

const NODES = { values: [10, 40, 100], smoke: [2], help: `nodes, in up to ${MAX_PROCESSES} processes` };

/** Processes for the nodes of a case: as many as possible, with equally many nodes each. */
function spread(parameters: Parameters): { processes: number; each: number } {
  const nodes = positive(parameters, "nodes");
  let each = Math.ceil(nodes / MAX_PROCESSES);
  while (nodes % each !== 0) each += 1;
  return { processes: nodes / each, each };
}

export const CLUSTERS: readonly Scenario[] = [
  {
    name: "cluster-forward",
    question:
      "How many messages a second of one topic go from a program at one node to a program at another?",
    ...MESSAGES,
    transports: ["tcp"],
    sizes: [64, 1_024],
    parameters: {},
    count: kit.upTo(1_000_000, 2 ** 29),
    roles: oneWay,
    growth: "size",
    references: ["shoal-zmtp-plain", "nats"],
  },
  {
    name: "cluster-publish",
    question: "How many messages a second of one topic reach all nodes of a cluster from one of them?",
    ...MESSAGES,
    transports: ["tcp"],
    sizes: [64],
    parameters: { nodes: NODES },
    timeout: 300,
    // The number does not depend on the nodes, so that fixed costs of a process have the same share.
    count: kit.upTo(100_000, 2 ** 30, 1_000),
    roles({ size, parameters }, count, warmup) {
      const { processes, each } = spread(parameters);
      const expects = streamsOf(each, size, warmup, count);
      return [
        { role: "publisher", binds: true, expects: sent(size, count) },
        { role: "subscribers", processes, measured: true, options: { each }, expects },
      ];
    },
    result: (done, chosen) => ({
      ...MESSAGES.result(done, chosen),
      microsecondsPerCopy: kit.extraOf(done, "publisher", "microsecondsPerCopy"),
    }),
    columns: [
      ...(MESSAGES.columns ?? []),
      { name: "microsecondsPerCopy", title: "publisher's CPU µs per copy" },
    ],
    growth: "nodes",
  },
  {
    // Each node has met every other before the clock starts.
    name: "cluster-idle",
    question: "What does a node at rest cost?",
    metric: { name: "cpuMilliseconds", unit: "ms of CPU/s", better: "lower" },
    transports: ["tcp"],
    sizes: [],
    parameters: {
      nodes: NODES,
      seconds: { values: [10], smoke: [1], help: "duration of the measurement in s" },
    },
    scales: false,
    timeout: 300,
    count({ parameters }) {
      positive(parameters, "seconds");
      return { count: positive(parameters, "nodes"), warmup: 0 };
    },
    roles({ parameters }) {
      const { processes, each } = spread(parameters);
      return [
        { role: "seed", binds: true, ends: false },
        { role: "idlers", processes, measured: true, options: { each }, expects: { messages: each } },
      ];
    },
    result(done, { parameters }) {
      const idlers = kit.measuredOf(done);
      const nodes = Number(parameters.nodes);
      const cpu = kit.sumOf(idlers, ({ cpuSeconds, seconds }) => cpuSeconds / seconds);
      return {
        cpuMilliseconds: (1e3 * cpu) / nodes,
        bytesPerSecond: kit.extraOf(done, "idlers", "bytesPerSecond") / nodes,
        megabytes: kit.sumOf(idlers, ({ peakRss }) => peakRss) / nodes / 1e6,
      };
    },
    columns: [
      { name: "bytesPerSecond", title: "sent B/s" },
      { name: "megabytes", title: "memory MB" },
    ],
    growth: "nodes",
  },
  {
    // All are loaded before the clock starts. They find each other by the host's registry and by multicast.
    name: "cluster-join",
    question: "How long do new nodes take until each one has all others as members?",
    metric: { name: "milliseconds", unit: "ms", better: "lower" },
    transports: ["tcp"],
    sizes: [],
    parameters: { nodes: { ...NODES, values: [10], help: "nodes, each in a process" } },
    scales: false,
    count: () => ({ count: 1, warmup: 0 }),
    roles: ({ parameters }) => [
      {
        role: "joiners",
        processes: positive(parameters, "nodes"),
        measured: true,
        expects: { messages: 1 },
      },
    ],
    result: (done) => ({ milliseconds: 1e3 * Math.max(...done.map(({ seconds }) => seconds)) }),
    growth: "nodes",
  },
  {
    // Two nodes exchange a message each ms, while a third one joins and gives them its filters.
    name: "cluster-routes",
    question: "How late are the messages of others while a node with many subscriptions joins?",
    metric: { name: "p99", unit: "µs", better: "lower" },
    transports: ["tcp"],
    sizes: [],
    parameters: { routes: { values: [1, 1_000_000], smoke: [10], help: "filters of the joining node" } },
    scales: false,
    timeout: 300,
    count({ parameters }, smoke) {
      positive(parameters, "routes");
      return { count: smoke ? 10 : 2_000, warmup: 0 };
    },
    roles: (_chosen, messages) => [
      { role: "meter", binds: true, measured: true, expects: { messages } },
      { role: "echo", ends: false },
      { role: "crowd", ends: false },
    ],
    result: (done, chosen) => ({
      ...kit.ROUND_TRIP.result(done, chosen),
      knownSeconds: kit.extraOf(done, "meter", "knownSeconds"),
    }),
    columns: [
      { name: "knownSeconds", title: "all known after s" },
      { name: "median", title: "p50 µs" },
    ],
    growth: "routes",
  },
  {
    // A process is paused by SIGSTOP. Another node publishes to it all the time, and it answers.
    name: "cluster-resume",
    question: "How long after a pause does a node answer messages again?",
    ...kit.MILLISECONDS,
    transports: ["tcp"],
    sizes: [],
    parameters: { seconds: { values: [1, 10], smoke: [1], help: "duration of the pause in s" } },
    scales: false,
    timeout: 300,
    count({ parameters }, smoke) {
      positive(parameters, "seconds");
      return { count: smoke ? 1 : 2, warmup: 0 };
    },
    roles: (_chosen, messages) => [
      { role: "waker", binds: true, measured: true, expects: { messages } },
      { role: "sleeper", ends: false },
    ],
    growth: "seconds",
  },
  {
    // `shoal-zmtp-plain` is REQ and REP for one request at a time, DEALER and ROUTER for more.
    name: "service",
    question: "How many requests a second does one node of a cluster answer for another one?",
    ...kit.REQUESTS,
    promoted: true,
    warms: true,
    transports: ["tcp"],
    sizes: [64],
    parameters: { window: { values: [1, 256], smoke: [1, 16], help: "requests in flight" } },
    count({ parameters }, smoke) {
      const count = positive(parameters, "window") === 1 ? 10_000 : 50_000;
      return smoke ? { count: 500, warmup: 100 } : { count, warmup: Math.ceil(count / 2) };
    },
    roles: kit.asked,
    references: ["shoal-zmtp-plain", "nats"],
  },
];
