import type { Scenario } from "../contract.js";
import { streamsOf } from "./kit.js";

/** PUSH in a worker thread to PULL in the main thread, which binds and measures: one process. */
export const threads: Scenario = {
  name: "threads",
  question: "How many messages a second go one way, from one thread of a process to another?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["inproc", "ipc", "tcp"],
  sizes: [64, 1_024, 65_536, 1_048_576],
  smokeSizes: [64],
  parameters: {},
  count({ size }, smoke) {
    const count = Math.round(Math.min(200_000, 2 ** 30 / size));
    return smoke ? { count: 5_000, warmup: 1_000 } : { count, warmup: Math.ceil(count / 10) };
  },
  roles: ({ size }, count, warmup) => [
    { role: "both", binds: true, measured: true, expects: streamsOf(1, size, warmup, count) },
  ],
  result([both], { size }) {
    const { messages = 0, seconds = 0 } = both ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  growth: "size",
};
