/** Rolling restart of the brokers of a cluster while all clients send requests. */
import type { Scenario } from "../contract.js";
import { positive } from "./kit.js";

/**
 * `count` is the minimum number of answers from the first restart to the last; restarts that take longer add more.
 * Brokers, workers and clients find each other by their nodes. Each broker drains, ends and is started again as
 * another process. A failed request or a wrong answer fails the run.
 */
export const majordomoRolls: Scenario = {
  name: "majordomo-rolls",
  question: "What do the clients of a cluster notice during a rolling restart of its brokers?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp"],
  sizes: [],
  smokeSizes: [],
  parameters: {
    brokers: { values: [10], smoke: [2], help: "brokers to restart, one process each" },
    workers: { values: [100], smoke: [4], help: "workers, in four processes" },
    clients: {
      values: [1_000],
      smoke: [8],
      help: "clients, in four processes, each with one request in flight",
    },
  },
  scales: false,
  timeout: 600,
  count({ parameters }, smoke) {
    for (const each of ["brokers", "workers", "clients"]) positive(parameters, each);
    return { count: smoke ? 1_000 : 100_000, warmup: 0 };
  },
  roles(_chosen, count) {
    return [
      {
        role: "crew",
        measured: true,
        expects: { messages: count, ordered: true },
      },
    ];
  },
  result([crew]) {
    const { seconds = 0, latency, extra } = crew ?? {};
    return {
      requestsPerSecond: (extra?.answered ?? 0) / seconds,
      p99: (latency?.["99"] ?? Number.NaN) / 1e3,
      longest: (latency?.["100"] ?? Number.NaN) / 1e3,
      answered: extra?.answered ?? 0,
      failed: extra?.failed ?? Number.NaN,
    };
  },
  columns: [
    { name: "p99", title: "99 %", unit: "ms" },
    { name: "longest", title: "longest", unit: "ms" },
    { name: "answered", title: "requests", unit: "" },
    { name: "failed", title: "failed", unit: "" },
  ],
};
