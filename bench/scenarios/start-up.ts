import type { Scenario } from "../contract.js";

/** One program per run, from the start of its process to the first message that it sends itself over tcp. */
export const startUp: Scenario = {
  name: "start-up",
  question:
    "How long does a program take from its start to its first message, and how much of it is the import?",
  metric: { name: "firstMessageMilliseconds", unit: "ms", better: "lower" },
  transports: ["tcp"],
  sizes: [],
  smokeSizes: [],
  parameters: {},
  count(_chosen, smoke) {
    return smoke ? { count: 2, warmup: 0 } : { count: 10, warmup: 2 };
  },
  scales: false,
  roles(_chosen, count) {
    return [{ role: "program", measured: true, expects: { messages: count } }];
  },
  result([program]) {
    return {
      firstMessageMilliseconds: (program?.latency?.["50"] ?? Number.NaN) / 1e3,
      importMilliseconds: (program?.extra?.importSeconds ?? Number.NaN) * 1e3,
      slowestMilliseconds: (program?.latency?.["100"] ?? Number.NaN) / 1e3,
    };
  },
  columns: [
    { name: "importMilliseconds", title: "import", unit: "ms" },
    { name: "slowestMilliseconds", title: "slowest", unit: "ms" },
  ],
};
