/** Scenarios in which the active server of a pair is killed with -9 repeatedly. */
import type { Scenario } from "../contract.js";
import { positive } from "./kit.js";

const KILLED_PAIR: Omit<Scenario, "name" | "question"> = {
  metric: { name: "heartbeats", unit: "heartbeats", better: "lower" },
  transports: ["tcp"],
  sizes: [],
  smokeSizes: [],
  parameters: {
    heartbeat: { values: [100, 500], smoke: [100], help: "ms between two heartbeats of the pair" },
  },
  count({ parameters }, smoke) {
    positive(parameters, "heartbeat");
    return smoke ? { count: 1, warmup: 0 } : { count: 4, warmup: 1 };
  },
  scales: false,
  roles(_chosen, count) {
    return [{ role: "pair", measured: true, expects: { messages: count, ordered: true } }];
  },
  result([pair], { parameters }) {
    const microseconds = 1e3 * Number(parameters.heartbeat);
    const of = (percentile: string) => (pair?.latency?.[percentile] ?? Number.NaN) / microseconds;
    return {
      heartbeats: of("50"),
      worst: of("100"),
      milliseconds: (pair?.latency?.["50"] ?? Number.NaN) / 1e3,
    };
  },
  columns: [
    { name: "worst", title: "worst", unit: "heartbeats" },
    { name: "milliseconds", title: "ms", unit: "ms" },
  ],
};

/**
 * A pair and a client that sends requests without a pause. The active server is killed with -9, and the clock runs
 * until the next reply. Then it is started again as standby, and the other one is killed next.
 */
export const binaryStarFailover: Scenario = {
  name: "binary-star-failover",
  question: "How many heartbeats after the kill of the active server is the next request served?",
  ...KILLED_PAIR,
};

/**
 * A pair of servers and a client that sets values without a pause. The active server is killed with -9, and the clock
 * runs until the other one acknowledges the next set. Then the killed one is started again and loads the map, and the
 * other one is killed next. Acknowledged values must be there after each failover.
 */
export const cloneFailover: Scenario = {
  name: "clone-failover",
  question: "How many heartbeats after the kill of the active server is the next set acknowledged?",
  ...KILLED_PAIR,
};
