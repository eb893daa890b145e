import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";

/** A ventilator distributes messages to workers, one process each; a sink collects them, each exactly once. */
export const pipeline: Scenario = {
  name: "pipeline",
  question: "How many messages a second go from a ventilator through N workers to a sink?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    workers: { values: [1, 2, 4], smoke: [2], help: "worker processes" },
  },
  count({ size }, smoke) {
    const count = smoke ? 5_000 : Math.round(Math.min(100_000, 2 ** 28 / size));
    return { count, warmup: Math.ceil(count / 10) };
  },
  roles({ size, parameters }, count, warmup) {
    return [
      { role: "ventilator", binds: true, expects: { messages: count, bytes: count * size } },
      {
        role: "sink",
        binds: true,
        measured: true,
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true, // Means each exactly once here.
        },
      },
      {
        role: "worker",
        processes: Number(parameters.workers),
        connects: ["ventilator", "sink"],
        ends: false,
      },
    ];
  },
  result([sink]) {
    const { messages = 0, seconds = 0 } = sink ?? {};
    return { messagesPerSecond: messages / seconds };
  },
  growth: "workers",
};
