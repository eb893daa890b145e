/** What the charts show, as vega-lite specifications. Pure; html.ts draws them. */
import type { Scenario } from "../contract.js";
import { median } from "../statistics/summary.js";
import { caseTitle } from "./format.js";
import { type BenchRecord, keyOf, type RunRecord } from "./records.js";
import type { CaseSummary } from "./summary.js";

export type ChartSpec = Readonly<Record<string, unknown>>;

export interface Chart {
  readonly caption: string;
  readonly spec: ChartSpec;
}

interface Mark {
  readonly n: number;
  readonly case: string;
  readonly contender: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

const SERIES = { field: "contender", type: "nominal", title: null, sort: null } as const;
const WIDTH = 640;

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
      caption: `${name}; median and its 95 % interval, ${scenario.metric.better} is better`,
      spec: several ? lines(marks, scenario) : bars(marks, scenario),
    });
  }
  return [...charts, ...percentiles(cases, records)];
}

/** The marks of a case, and which chart they belong to: cases that differ in the growth's n alone share one. */
function marksOf({ key, rows }: CaseSummary, scenario: Scenario): { name: string; marks: Mark[] } {
  const { growth } = scenario;
  const bySize = growth === "size";
  const rest = Object.fromEntries(Object.entries(key.parameters).filter(([name]) => name !== growth));
  const name = caseTitle({ ...key, size: bySize ? 0 : key.size, parameters: rest });
  const n = Number(bySize ? key.size : key.parameters[growth ?? ""]);
  const marks = rows.map(({ title, metric }) => ({
    n: Number.isFinite(n) ? n : 0,
    case: caseTitle(key),
    contender: title,
    ...metric,
  }));
  return { name, marks };
}

function lines(marks: readonly Mark[], scenario: Scenario): ChartSpec {
  const x = { field: "n", type: "quantitative", scale: { type: "log" }, title: scenario.growth };
  const y = { type: "quantitative", scale: { type: "log" }, title: scenario.metric.unit };
  return {
    width: WIDTH,
    height: 320,
    data: { values: marks },
    encoding: { x, color: SERIES },
    layer: [
      { mark: { type: "line", point: true }, encoding: { y: { ...y, field: "value" } } },
      { mark: "rule", encoding: { y: { ...y, field: "low" }, y2: { field: "high" } } },
    ],
  };
}

function bars(marks: readonly Mark[], scenario: Scenario): ChartSpec {
  const x = { type: "quantitative", title: scenario.metric.unit };
  return {
    width: WIDTH,
    height: { step: 24 },
    data: { values: marks },
    encoding: { y: { ...SERIES } },
    layer: [
      { mark: "bar", encoding: { x: { ...x, field: "value" }, color: { ...SERIES, legend: null } } },
      {
        mark: { type: "rule", strokeWidth: 2 },
        encoding: { x: { ...x, field: "low" }, x2: { field: "high" } },
      },
    ],
  };
}

/** Where runs have latencies: the medians of their percentiles, on a scale that spreads the tail. */
function percentiles(cases: readonly CaseSummary[], records: readonly BenchRecord[]): Chart[] {
  return cases.flatMap(({ key, rows }) => {
    const values = rows.flatMap(({ contender, title }) => {
      const tables = records
        .filter((record): record is RunRecord => record.type === "run")
        .filter((run) => run.contender === contender && keyOf(run) === keyOf(key))
        .flatMap(({ latency }) => (latency === undefined ? [] : [latency]));
      const names = [...new Set(tables.flatMap((table) => Object.keys(table)))].filter(
        (name) => Number(name) > 0 && Number(name) < 100,
      );
      return names.map((name) => ({
        contender: title,
        // 90 % → 10, 99 % → 100, 99.9 % → 1000: one in so many is slower.
        oneIn: 1 / (1 - Number(name) / 100),
        value: median(tables.map((table) => table[name] ?? Number.NaN)),
      }));
    });
    if (values.length === 0) return [];
    const spec = {
      width: WIDTH,
      height: 260,
      data: { values },
      mark: { type: "line", point: true },
      encoding: {
        x: {
          field: "oneIn",
          type: "quantitative",
          scale: { type: "log" },
          title: "one in so many is slower",
        },
        y: { field: "value", type: "quantitative", scale: { type: "log" }, title: "µs" },
        color: SERIES,
      },
    };
    return [{ caption: `${caseTitle(key)}: latency by percentile`, spec }];
  });
}
