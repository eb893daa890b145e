import type { Scenario } from "../contract.js";
import { answersOf, positive } from "./kit.js";

import { loadOf, majordomoRoles } from "./majordomo-roles.js";

/** Workers that one process has at most: each is a connection, and they beat alongside the broker and the client. */
const WORKERS_OF_A_PROCESS = 2_500;

/**
 * Some of the services are asked in turn, the others are only there: with all of them asked, each connection would have
 * one message at a time, and the figure be that of system calls. The workers are connections of one process, or of a few.
 * All of them beat as often as they do by default: that is in the broker's time, too.
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
    asked: { values: [10], smoke: [10], help: "of them, those that are asked, in turn" },
    workers: { values: [1, 10], smoke: [2], help: "workers of each service" },
  },
  // Thousands of connections are made before the clock starts, and ended after it.
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
    // The broker counts from the start, as the workers do: with the warm-up, and with the heartbeats meanwhile.
    const answered = others.reduce((sum, side) => sum + (side.role === "worker" ? side.messages : 0), 0);
    return { requestsPerSecond: messages / seconds, brokerMicroseconds: (broker / answered) * 1e6 };
  },
  growth: "services",
};
