import type { Scenario } from "../contract.js";
import { answersOf, LATENCY_COLUMNS, latencyFigures, onSchedule, PATTERN_REFERENCES } from "./kit.js";
import {
  loadOf,
  MAJORDOMO_LOADS,
  majordomoRoles,
  WARM_REQUESTS,
  WARM_ROUND_TRIPS,
} from "./majordomo-roles.js";

/** Client, broker and workers, one process each. Implementations without the pattern use plain sockets. */
export const majordomo: Scenario = {
  name: "majordomo",
  question: "How many requests a second go through a broker to its workers and back?",
  metric: { name: "requestsPerSecond", unit: "req/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    load: {
      values: Object.keys(MAJORDOMO_LOADS),
      smoke: ["concurrency-16"],
      help: "two workers of concurrency 16, or 256; one that takes a request at a time, with 8 or none waiting there; that, and a client that waits for each reply",
    },
  },
  count({ parameters }, smoke) {
    const { window, concurrency } = loadOf(parameters);
    if (window === 1) return smoke ? { count: 300, warmup: 100 } : { count: 5_000, warmup: WARM_ROUND_TRIPS };
    const count = smoke ? 3_000 : 20_000;
    // A worker with one request at a time is slow on some engines: the full warm-up would take a minute.
    return { count, warmup: smoke || concurrency === 1 ? Math.ceil(count / 3) : WARM_REQUESTS };
  },
  warmups: 12, // Four processes and their compilers share two cores: a broker's code is compiled after two million requests.
  roles({ size, parameters }, count, warmup) {
    return majordomoRoles(loadOf(parameters), answersOf(size, warmup, count));
  },
  result(done) {
    const [client] = done;
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    return {
      requestsPerSecond: messages / seconds,
      ...latencyFigures(client === undefined ? [] : [client]),
    };
  },
  columns: LATENCY_COLUMNS,
  references: PATTERN_REFERENCES,
};

/** Client, broker and workers of concurrency 16, one process each. */
export const majordomoUnderLoad: Scenario = {
  name: "majordomo-under-load",
  question: "How long does a request through a broker take at half of its capacity, and at 10,000 a second?",
  ...onSchedule("req/s", { count: 1_000, warmup: 2_000 }),
  roles({ size }, count, warmup) {
    return majordomoRoles(loadOf({ load: "concurrency-16" }), answersOf(size, warmup, count));
  },
};
