import type { Scenario } from "../contract.js";
import { answersOf, positive } from "./kit.js";

import { loadOf, majordomoRoles } from "./majordomo-roles.js";

/** Maximum workers of one process: each is a connection with heartbeats. */
const WORKERS_OF_A_PROCESS = 2_500;

/**
 * Requests go to some of the services in turn; the others only exist. If all were used, each connection would have
 * one message at a time, and the figure would be that of system calls. The workers are connections of one process, or
 * of a few. All have the default heartbeats, which take part of the broker's time.
 */
export const majordomoGrowth: Scenario = {
  name: "majordomo-growth",
  question: "Does a request cost more when the broker has many services and workers?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  columns: [{ name: "brokerMicroseconds", title: "broker's CPU", unit: "µs" }],
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    services: { values: [1, 10, 100, 1_000], smoke: [10], help: "services of the broker" },
    asked: { values: [10], smoke: [10], help: "services that get requests, in turn" },
    workers: { values: [1, 10], smoke: [2], help: "workers of each service" },
  },
  // Thousands of connections are opened before the clock starts, and closed after it stops.
  timeout: 120,
  count({ parameters }, smoke) {
    positive(parameters, "services");
    positive(parameters, "asked");
    positive(parameters, "workers");
    return smoke ? { count: 1_000, warmup: 500 } : { count: 20_000, warmup: 5_000 };
  },
  roles({ size, parameters }, count, warmup) {
    const all = Number(parameters.services) * Number(parameters.workers);
    const processes = Math.ceil(all / WORKERS_OF_A_PROCESS);
    const load = { ...loadOf({ load: "concurrency-16" }), workers: processes };
    return majordomoRoles(load, answersOf(size, warmup, count), { processes });
  },
  result([client, ...others]) {
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    const broker = others.find(({ role }) => role === "broker")?.cpuSeconds ?? Number.NaN;
    // Broker and workers count from the start, including the warm-up and the heartbeats meanwhile.
    const answered = others.reduce((sum, side) => sum + (side.role === "worker" ? side.messages : 0), 0);
    return { requestsPerSecond: messages / seconds, brokerMicroseconds: (broker / answered) * 1e6 };
  },
  growth: "services",
};
