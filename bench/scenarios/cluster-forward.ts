/** Publishing on one node of a cluster and subscribing on another. `shoal-zmtp-plain` is a PUSH and a PULL. */
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
        role: "consumer",
        binds: true,
        measured: true,
        expects: { ...expects, checksum: expectedChecksum(size, warmup, count), ordered: true },
      },
      { role: "producer", expects },
    ];
  },
  result([consumer], { size }) {
    const { messages = 0, seconds = 0 } = consumer ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  growth: "size",
  references: ["shoal-zmtp-plain", "nats"],
};

export const clusterForward: Scenario = {
  ...FORWARD,
  name: "cluster-forward",
  question: "How many messages a second of one topic go from a program at one node to a program at another?",
};

export const clusterForwardSecure: Scenario = {
  ...FORWARD,
  name: "cluster-forward-secure",
  question: "How many messages a second go from one node to another when all is encrypted?",
};
