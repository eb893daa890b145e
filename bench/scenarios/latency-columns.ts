/** The percentiles of a client as figures, for the scenarios that are about time. */
import type { Scenario, SideReport } from "../contract.js";

export const LATENCY_COLUMNS = [
  { name: "median", title: "p50", unit: "µs" },
  { name: "p90", title: "p90", unit: "µs" },
  { name: "p99", title: "p99", unit: "µs" },
  { name: "p999", title: "p99.9", unit: "µs" },
  { name: "max", title: "max", unit: "µs" },
] as const satisfies Scenario["columns"];

/** Of several clients the worst at each percentile: an average of percentiles means nothing. */
export function latencyFigures(clients: readonly SideReport[]): Record<string, number> {
  const worst = (percentile: string) =>
    Math.max(...clients.map(({ latency }) => latency?.[percentile] ?? Number.NaN));
  return {
    median: worst("50"),
    p90: worst("90"),
    p99: worst("99"),
    p999: worst("99.9"),
    max: worst("100"),
  };
}
