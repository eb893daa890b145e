import type { Scenario } from "../contract.js";
import { PATTERN_REFERENCES, positive, streamsOf } from "./kit.js";

/** Messages between two reports of the reader; at most two windows are in flight. */
const WINDOW = 5_000;
/** Larger than two windows, so that nothing is dropped: a PUB drops above its mark. */
const HIGH_WATER_MARK = 4 * WINDOW;

/** A publisher, the cache, and a subscriber, one process each. The references only forward messages. */
export const lastValueCache: Scenario = {
  name: "last-value-cache",
  question: "How many messages a second pass through a last value cache?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    topics: { values: [1_000], smoke: [100], help: "topics used in turn; at most 100000" },
  },
  count({ size, parameters }, smoke) {
    positive(parameters, "topics");
    const count = smoke ? 5_000 : Math.round(Math.min(200_000, 2 ** 29 / size));
    return { count, warmup: Math.ceil(count / 10) };
  },
  roles({ size }, count, warmup) {
    const options = { "high-water-mark": HIGH_WATER_MARK, window: WINDOW };
    return [
      { role: "forwarder", binds: true, ends: false, options },
      {
        role: "feed",
        binds: true,
        connects: ["forwarder"],
        options,
        expects: { messages: count, bytes: count * size },
      },
      {
        role: "reader",
        connects: ["forwarder/backend", "feed"],
        measured: true,
        options,
        expects: streamsOf(1, size, warmup, count),
      },
    ];
  },
  result([reader], { size }) {
    const { messages = 0, seconds = Number.NaN } = reader ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  growth: "topics",
  references: PATTERN_REFERENCES,
};
