import { expectedChecksum } from "../bodies.js";
import type { Scenario } from "../contract.js";
import { ofRole } from "./kit.js";

/**
 * The producer could send everything at once; the consumer reads `rate` per second. With back-pressure the producer
 * waits, and its memory stays flat. Without it, all unread 64 MiB pile up somewhere.
 */
export const slowConsumer: Scenario = {
  name: "slow-consumer",
  question: "Does a producer's memory stay flat, and its rate follow, when its consumer is slow?",
  metric: { name: "producerGrowthMegabytes", unit: "MB", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [16_384],
  smokeSizes: [16_384],
  parameters: {
    rate: { values: [2_000], smoke: [5_000], help: "messages a second that the consumer reads" },
    "high-water-mark": { values: [100], smoke: [100], help: "messages that each end may queue" },
  },
  count(_chosen, smoke) {
    return { count: smoke ? 1_500 : 4_000, warmup: 100 };
  },
  scales: false, // The question is how much piles up.
  roles({ size }, count, warmup) {
    return [
      {
        role: "consumer",
        binds: true,
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true,
        },
      },
      { role: "producer", measured: true, options: { rate: 0 } },
    ];
  },
  result(done, { parameters }) {
    const [producer] = ofRole(done, "producer");
    const [consumer] = ofRole(done, "consumer");
    const rateOf = (report: typeof consumer) =>
      (report?.messages ?? Number.NaN) / (report?.seconds ?? Number.NaN);
    return {
      producerGrowthMegabytes: (producer?.extra?.rssGrowth ?? Number.NaN) / 1e6,
      consumerPeakMegabytes: (consumer?.peakRss ?? Number.NaN) / 1e6,
      // Near 1: the consumer got its rate, and the producer was slowed to it.
      consumerRate: rateOf(consumer) / Number(parameters.rate),
      producerRate: rateOf(producer) / Number(parameters.rate),
    };
  },
  columns: [
    { name: "consumerPeakMegabytes", title: "consumer's peak", unit: "MB" },
    { name: "consumerRate", title: "consumer's rate", unit: "× asked" },
    { name: "producerRate", title: "producer's rate", unit: "× asked" },
  ],
};
