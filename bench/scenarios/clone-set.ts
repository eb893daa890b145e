import type { Scenario } from "../contract.js";
import { answersOf } from "./expectations.js";
import { LATENCY_COLUMNS, latencyFigures } from "./latency-columns.js";
import { PATTERN_REFERENCES } from "./majordomo-roles.js";
import { positive } from "./parameters.js";

/** Updates that a client has under way while it looks for what the server carries. */
const WINDOW = 1_000;

/** From when a `set` is due to when its client's own map has it. The load is open, as in majordomo-under-load. */
export const cloneSet: Scenario = {
  name: "clone-set",
  question:
    "How long does a set take until its client sees it, at half of the load that the server can carry?",
  metric: { name: "p99", unit: "µs", better: "lower" },
  transports: ["tcp", "ipc"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    rate: { values: ["half"], smoke: ["half"], help: "sets a second, or half of what can be carried" },
  },
  count({ parameters }, smoke) {
    if (parameters.rate !== "half") positive(parameters, "rate");
    return smoke ? { count: 300, warmup: 1_000 } : { count: 40_000, warmup: 60_000 };
  },
  scales: false, // The warm-up finds the rate.
  timeout: 120,
  roles({ size }, count, warmup) {
    const options = { window: WINDOW, "high-water-mark": 4 * WINDOW };
    return [
      { role: "server", binds: true, ends: false, options },
      {
        role: "client",
        measured: true,
        options,
        expects: answersOf(size, warmup, count),
      },
    ];
  },
  result(done) {
    const [client] = done;
    const { messages = 0, seconds = Number.NaN } = client ?? {};
    const { rate = Number.NaN } = client?.extra ?? {};
    return {
      ...latencyFigures(client === undefined ? [] : [client]),
      rate,
      // 1 when the schedule was kept; less when sets came back slower than they were due.
      kept: messages / seconds / rate,
    };
  },
  columns: [
    ...LATENCY_COLUMNS,
    { name: "rate", title: "rate", unit: "set/s" },
    { name: "kept", title: "rate kept", unit: "×" },
  ],
  references: PATTERN_REFERENCES,
};
