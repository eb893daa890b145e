import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";

/** PUSH to PULL: the consumer binds and measures. */
export const throughput: Scenario = {
  name: "throughput",
  question: "How many messages a second go one way, from one process to another?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc", "inproc"],
  sizes: [1, 16, 64, 1024, 16_384, 65_536, 1_048_576],
  smokeSizes: [64],
  parameters: {},
  count({ size }, smoke) {
    // About a second of the slowest implementation: 200 k small messages, or 1 GiB.
    const count = Math.round(Math.min(200_000, 2 ** 30 / size));
    return smoke ? { count: 5_000, warmup: 1_000 } : { count, warmup: Math.ceil(count / 10) };
  },
  roles({ size }, count, warmup) {
    return [
      {
        role: "consumer",
        binds: true,
        measured: true,
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true,
        },
      },
      { role: "producer", expects: { messages: count, bytes: count * size } },
    ];
  },
  result([consumer], { size }) {
    const { messages = 0, seconds = 0 } = consumer ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  growth: "size",
};
