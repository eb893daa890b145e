/**
 * What is the same in all scenarios with an open load, as in latency-under-load: a request leaves when it is due, and
 * its latency counts from then. `half` is half of what this contender carried just before, in the third quarter of its
 * warm-up, with as many requests under way as it may have; a number of requests a second is the same for all.
 */
import type { Scenario } from "../contract.js";
import { LATENCY_COLUMNS, latencyFigures } from "./latency-columns.js";
import { PATTERN_REFERENCES } from "./majordomo-roles.js";
import { positive } from "./parameters.js";

/** @param unit of the rate. @param smokeCount requests of a smoke run, and before them */
export function onSchedule(
  unit: string,
  smokeCount: { readonly count: number; readonly warmup: number },
): Omit<Scenario, "name" | "question" | "roles"> {
  return {
    metric: { name: "p99", unit: "µs", better: "lower" },
    transports: ["tcp", "ipc"],
    sizes: [64],
    smokeSizes: [64],
    parameters: {
      rate: { values: ["half"], smoke: ["half"], help: `${unit}, or half of what can be carried` },
    },
    count({ parameters }, smoke) {
      if (parameters.rate !== "half") positive(parameters, "rate");
      return smoke ? smokeCount : { count: 40_000, warmup: 60_000 };
    },
    warmups: 3, // Those that are as fast as they can be, and those on schedule.
    timeout: 120,
    result(done) {
      const [client] = done;
      const { messages = 0, seconds = Number.NaN } = client ?? {};
      const { rate = Number.NaN } = client?.extra ?? {};
      return {
        ...latencyFigures(client === undefined ? [] : [client]),
        rate,
        // 1 when the schedule was kept; less when replies came slower than requests were due.
        kept: messages / seconds / rate,
      };
    },
    columns: [
      ...LATENCY_COLUMNS,
      { name: "rate", title: "rate", unit },
      { name: "kept", title: "rate kept", unit: "×" },
    ],
    references: PATTERN_REFERENCES,
  };
}
