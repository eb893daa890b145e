import type { Scenario } from "../contract.js";
import { answersOf } from "./expectations.js";
import { loadOf, majordomoRoles } from "./majordomo-roles.js";
import { positive } from "./parameters.js";

/**
 * Some of the services are asked in turn, the others are only there: with all of them asked, each connection would have
 * one message at a time, and the figure be that of system calls. The workers are connections of one process.
 */
export const majordomoGrowth: Scenario = {
  name: "majordomo-growth",
  question: "Does a request cost more when the broker has many services and workers?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    services: { values: [1, 10, 100, 1_000], smoke: [10], help: "services of the broker" },
    asked: { values: [10], smoke: [10], help: "of them, those that are asked, in turn" },
    workers: { values: [1], smoke: [2], help: "workers of each service" },
  },
  count({ parameters }, smoke) {
    positive(parameters, "services");
    positive(parameters, "asked");
    positive(parameters, "workers");
    return smoke ? { count: 1_000, warmup: 500 } : { count: 20_000, warmup: 5_000 };
  },
  roles({ size }, count, warmup) {
    const load = { ...loadOf({ load: "concurrency-16" }), workers: 1 };
    return majordomoRoles(load, answersOf(size, warmup, count));
  },
  result([client]) {
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    return { requestsPerSecond: messages / seconds };
  },
  growth: "services",
};
