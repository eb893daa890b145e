import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";

/** One subscriber with S topic prefixes of eight digits; each message matches one, so only the matching grows. */
export const subscriptions: Scenario = {
  name: "subscriptions",
  question: "What does a published message cost when its subscriber has S subscriptions?",
  metric: { name: "microsecondsPerMessage", unit: "µs", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    subscriptions: { values: [10, 100, 1_000, 10_000, 100_000], smoke: [10, 1_000], help: "topic prefixes" },
  },
  count(_chosen, smoke) {
    return smoke ? { count: 3_000, warmup: 500 } : { count: 100_000, warmup: 10_000 };
  },
  roles({ size }, count, warmup) {
    return [
      { role: "publisher", binds: true, expects: { messages: count, bytes: count * size } },
      {
        role: "subscriber",
        measured: true,
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true,
        },
      },
    ];
  },
  result([subscriber]) {
    const { messages = 0, seconds = 0 } = subscriber ?? {};
    return { microsecondsPerMessage: (seconds / messages) * 1e6, messagesPerSecond: messages / seconds };
  },
  columns: [{ name: "messagesPerSecond", title: "msg/s", unit: "msg/s" }],
  growth: "subscriptions",
};
