/** Messages that are kept until acknowledged: the cost of a session, by its store. */
import type { Scenario } from "../contract.js";
import { answersOf, LATENCY_COLUMNS, latencyFigures, oneOf, positive } from "./kit.js";

const STORES = ["memory", "lmdb", "postgres"] as const;

/**
 * One client publishes to its own session, which keeps each message until it is acknowledged. Latency counts from
 * `publish` to the message. For NATS, a JetStream stream with a durable consumer does the same, in memory or on disk.
 */
export const sessions: Scenario = {
  name: "sessions",
  question: "How many messages a second does a session keep, deliver and forget, and how long does one take?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    store: {
      values: ["memory", "lmdb"],
      smoke: ["memory"],
      help: "where messages are kept; postgres takes the variables PGHOST, PGUSER, …",
    },
    window: { values: [1, 256], smoke: [16], help: "messages in flight" },
  },
  timeout: 120,
  count({ parameters }, smoke) {
    const store = oneOf(parameters, "store", STORES);
    const isSlow = positive(parameters, "window") === 1 && store !== "memory";
    return smoke
      ? { count: 200, warmup: 50 }
      : { count: isSlow ? 1_000 : 20_000, warmup: isSlow ? 200 : 4_000 };
  },
  roles({ size }, count, warmup) {
    return [
      { role: "server", binds: true, ends: false },
      { role: "client", measured: true, expects: answersOf(size, warmup, count) },
    ];
  },
  result([client]) {
    const { messages = 0, seconds = 0 } = client ?? {};
    return { messagesPerSecond: messages / seconds, ...latencyFigures(client === undefined ? [] : [client]) };
  },
  columns: LATENCY_COLUMNS,
  references: ["nats"],
};
