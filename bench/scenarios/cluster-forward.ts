/**
 * Publishing on one node of a cluster and subscribing on another: a publisher, a subscriber, and the nodes or brokers
 * between them.
 */
import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";

const FORWARD: Omit<Scenario, "name" | "question"> = {
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp"],
  sizes: [64, 1024],
  smokeSizes: [64],
  parameters: {},
  count({ size }, smoke) {
    const count = Math.round(Math.min(1_000_000, 2 ** 29 / size));
    return smoke ? { count: 5_000, warmup: 1_000 } : { count, warmup: Math.ceil(count / 10) };
  },
  roles({ size }, count, warmup) {
    const expects = { messages: count, bytes: count * size };
    return [
      {
        role: "subscriber",
        binds: true,
        measured: true,
        expects: { ...expects, checksum: expectedChecksum(size, warmup, count), ordered: true },
      },
      { role: "publisher", expects },
    ];
  },
  result([subscriber], { size }) {
    const { messages = 0, seconds = 0 } = subscriber ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  growth: "size",
  references: ["nats-route", "mosquitto-bridge", "redis-replica"],
};

/** Brokers have two joined servers; a node of shoal runs in the program. */
export const clusterForward: Scenario = {
  ...FORWARD,
  name: "cluster-forward",
  question: "How many messages a second of one topic go from a program at one node to a program at another?",
};

/** CURVE with a cluster key; for NATS, TLS between clients and servers, and between servers. */
export const clusterForwardSecure: Scenario = {
  ...FORWARD,
  name: "cluster-forward-secure",
  question: "How many messages a second go from one node to another when all is encrypted?",
};
