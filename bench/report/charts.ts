/** Contents of charts, made from summaries; svg.ts draws them. Pure. */
import type { Scenario } from "../contract.js";
import { median } from "../statistics/summary.js";
import { caseTitle, metricText } from "./format.js";
import { type BenchRecord, keyOf, type RunRecord } from "./records.js";
import type { CaseSummary } from "./summary.js";
import type { Chart, Mark } from "./svg.js";

export function chartsOf(
  cases: readonly CaseSummary[],
  scenario: Scenario,
  records: readonly BenchRecord[],
): Chart[] {
  const charts: Chart[] = [];
  const curves = new Map<string, Mark[]>();
  for (const one of cases) {
    const { name, marks } = marksOf(one, scenario);
    curves.set(name, [...(curves.get(name) ?? []), ...marks]);
  }
  for (const [name, marks] of curves) {
    if (marks.length === 0) continue;
    const several = new Set(marks.map(({ n }) => n)).size > 1;
    charts.push({
      kind: several ? "lines" : "bars",
      title: name,
      subtitle: subtitleOf(scenario),
      ...(several ? { over: scenario.growth === "size" ? "bytes" : (scenario.growth ?? "") } : {}),
      marks,
    });
  }
  return [...charts, ...percentiles(cases, records)];
}

/** "msg/s, more is better" */
export function subtitleOf({ metric }: Scenario): string {
  return `${metricText(metric)}, ${metric.better === "higher" ? "more" : "less"} is better`;
}

/** Marks of a case, and the name of their chart. Cases that differ only in the growth's n share a chart. */
function marksOf({ key, rows }: CaseSummary, scenario: Scenario): { name: string; marks: Mark[] } {
  const { growth } = scenario;
  const bySize = growth === "size";
  const rest = Object.fromEntries(Object.entries(key.parameters).filter(([name]) => name !== growth));
  const name = caseTitle({ ...key, size: bySize ? 0 : key.size, parameters: rest });
  const n = Number(bySize ? key.size : key.parameters[growth ?? ""]);
  const marks = rows.map(({ title, metric: { value, low, high } }) => ({
    n: Number.isFinite(n) ? n : 0,
    contender: title,
    value,
    low,
    high,
  }));
  return { name, marks };
}

/** For runs with latencies: medians of their percentiles, on a scale that spreads the tail. */
function percentiles(cases: readonly CaseSummary[], records: readonly BenchRecord[]): Chart[] {
  return cases.flatMap(({ key, rows }) => {
    const marks = rows.flatMap(({ contender, title }) => {
      const tables = records
        .filter((record): record is RunRecord => record.type === "run")
        .filter((run) => run.contender === contender && keyOf(run) === keyOf(key))
        .flatMap(({ latency }) => (latency === undefined ? [] : [latency]));
      const names = [...new Set(tables.flatMap((table) => Object.keys(table)))].filter(
        (name) => Number(name) > 0 && Number(name) < 100,
      );
      return names.map((name) => {
        const value = median(tables.map((table) => table[name] ?? Number.NaN));
        // 90 % → 10, 99 % → 100, 99.9 % → 1000: one in so many is slower.
        return {
          contender: title,
          n: Math.round(1 / (1 - Number(name) / 100)),
          value,
          low: value,
          high: value,
        };
      });
    });
    if (marks.length === 0) return [];
    const title = `${caseTitle(key)}: latency by percentile`;
    return [
      {
        kind: "lines" as const,
        title,
        subtitle: "µs, less is better",
        over: "one in so many is slower",
        marks,
      },
    ];
  });
}
