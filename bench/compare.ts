/**
 * `shoal bench compare BEFORE AFTER` tells changes from noise, for two files of `--json` or two builds. For each case and implementation in both files it
 * gives the ratio of the medians with its 99 % interval, turned so that more than 1 is better. "Worse" means that the
 * whole interval is beyond the threshold, so neither a small change counts nor a large one in few scattered runs.
 */
import Table from "cli-table3";
import { caseTitle, figure, metricText } from "./report/format.js";
import { type BenchRecord, type CaseKey, keyOf, type RunRecord } from "./report/records.js";
import { cpuPerMessage } from "./report/summary.js";
import { SCENARIOS } from "./scenarios/index.js";
import { type Interval, pairedRatio, unpairedRatio } from "./statistics/bootstrap.js";
import { LEAST_ROUNDS } from "./statistics/stopping.js";
import { median } from "./statistics/summary.js";

/** "few": too few runs; "fails": it was measured before, and fails now; "gone": it was not measured again. */
export type Verdict = "better" | "worse" | "same" | "few" | "fails" | "gone";

export interface ComparisonRow {
  readonly key: CaseKey;
  readonly contender: string;
  readonly before: number;
  readonly after: number | undefined;
  /** Medians of the processor time of all sides for each operation, in µs. */
  readonly cpuBefore: number;
  readonly cpuAfter: number | undefined;
  /** More than 1 is better, whatever the metric's direction. */
  readonly change: Interval | undefined;
  readonly verdict: Verdict;
}

export interface CompareSettings {
  /** A share, such as 0.05. */
  readonly threshold: number;
  /** Compares ratios to this implementation instead of figures, since the machine may have changed. */
  readonly relativeTo?: string | undefined;
  /** Whether the n-th runs of both sides followed each other. */
  readonly paired?: boolean;
}

const CONFIDENCE = 0.99;

export function compareRecords(
  before: readonly BenchRecord[],
  after: readonly BenchRecord[],
  settings: CompareSettings,
): ComparisonRow[] {
  const then = lanesOf(before);
  const now = lanesOf(after);
  const failing = new Set(
    after.filter((record) => record.type === "failed").map((record) => laneKey(record, record.contender)),
  );
  const rows: ComparisonRow[] = [];
  for (const [text, lane] of then) {
    if (lane.contender === settings.relativeTo) continue;
    const values = valuesOf(lane, then, settings.relativeTo);
    const other = now.get(text);
    const theirs = other === undefined ? [] : valuesOf(other, now, settings.relativeTo);
    const { key, contender } = lane;
    const base = { key, contender, before: median(values), cpuBefore: median(lane.runs.map(cpuPerMessage)) };
    const nothing = { after: undefined, cpuAfter: undefined, change: undefined };
    if (failing.has(text)) rows.push({ ...base, ...nothing, verdict: "fails" });
    else if (other === undefined || theirs.length === 0) rows.push({ ...base, ...nothing, verdict: "gone" });
    else
      rows.push({
        ...base,
        after: median(theirs),
        cpuAfter: median(other.runs.map(cpuPerMessage)),
        ...verdictOf(values, theirs, lane.better, settings),
      });
  }
  // Without a common case there is no comparison.
  return rows.some(({ verdict }) => verdict !== "gone") ? rows : [];
}

function verdictOf(
  before: readonly number[],
  after: readonly number[],
  better: "higher" | "lower",
  { threshold, paired = false }: CompareSettings,
): Pick<ComparisonRow, "change" | "verdict"> {
  const ratio = paired ? pairedRatio : unpairedRatio;
  const change = better === "higher" ? ratio(after, before, CONFIDENCE) : ratio(before, after, CONFIDENCE);
  if (Math.min(before.length, after.length) < LEAST_ROUNDS) return { change, verdict: "few" };
  if (change.high < 1 - threshold) return { change, verdict: "worse" };
  if (change.low > 1 / (1 - threshold)) return { change, verdict: "better" };
  return { change, verdict: "same" };
}

interface Lane {
  readonly key: CaseKey;
  readonly contender: string;
  readonly metric: string;
  readonly better: "higher" | "lower";
  readonly runs: RunRecord[];
}

function laneKey(key: CaseKey, contender: string): string {
  return `${keyOf(key)} ${contender}`;
}

/** Runs by case and implementation; unknown scenarios are skipped. */
function lanesOf(records: readonly BenchRecord[]): Map<string, Lane> {
  const lanes = new Map<string, Lane>();
  for (const record of records) {
    if (record.type !== "run") continue;
    const metric = SCENARIOS.find(({ name }) => name === record.scenario)?.metric;
    if (metric === undefined) continue;
    const text = laneKey(record, record.contender);
    const lane = lanes.get(text);
    if (lane !== undefined) {
      lane.runs.push(record);
      continue;
    }
    const { scenario, transport, size, parameters, contender } = record;
    const key = { scenario, transport, size, parameters };
    lanes.set(text, { key, contender, metric: metric.name, better: metric.better, runs: [record] });
  }
  return lanes;
}

function valuesOf(lane: Lane, lanes: ReadonlyMap<string, Lane>, relativeTo: string | undefined): number[] {
  const figures = lane.runs.map((run) => run.figures[lane.metric] ?? Number.NaN);
  if (relativeTo === undefined) return figures.filter(Number.isFinite);
  const base = lanes.get(laneKey(lane.key, relativeTo))?.runs ?? [];
  // The n-th runs of both followed each other, also in joined files.
  return figures
    .map((value, i) => value / (base[i]?.figures[lane.metric] ?? Number.NaN))
    .filter(Number.isFinite);
}

const WORDS: Readonly<Record<Verdict, string>> = {
  better: "better",
  worse: "WORSE",
  same: "no change",
  few: `inconclusive: needs ${LEAST_ROUNDS} runs per side`,
  fails: "FAILS now",
  gone: "not measured again",
};

export function comparisonText(rows: readonly ComparisonRow[], threshold: number): string {
  const table = new Table({
    head: [
      "scenario",
      "case",
      "implementation",
      "before",
      "after",
      "CPU µs per item",
      "change (99 %)",
      "verdict",
    ],
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "left", "left", "right", "right", "right", "right", "left"],
  });
  for (const { key, contender, before, after, cpuBefore, cpuAfter, change, verdict } of rows) {
    const percent = (value: number) => `${value >= 1 ? "+" : "−"}${Math.abs(100 * (value - 1)).toFixed(1)} %`;
    const metric = SCENARIOS.find(({ name }) => name === key.scenario)?.metric;
    table.push([
      metric === undefined ? key.scenario : `${key.scenario}, ${metricText(metric)}`,
      caseTitle(key),
      contender,
      figure(before),
      after === undefined ? "" : figure(after),
      cpuAfter === undefined ? "" : `${figure(cpuBefore)} → ${figure(cpuAfter)}`,
      change === undefined
        ? ""
        : `${percent(change.value)} (${percent(change.low)} … ${percent(change.high)})`,
      WORDS[verdict],
    ]);
  }
  const count = (verdict: Verdict) => rows.filter((row) => row.verdict === verdict).length;
  const worse = count("worse") + count("fails");
  const limit = `${+(100 * threshold).toFixed(2)} %`;
  const conclusion =
    worse > 0
      ? `${worse} of ${rows.length} worse by more than ${limit}.`
      : count("few") > 0
        ? `${count("few")} of ${rows.length} ${WORDS.few}.`
        : `None is worse by more than ${limit}; better: ${count("better")}.`;
  return `${table.toString()}\nMore than 0 % is better. ${conclusion}`;
}

/** 0: nothing is worse; 1: something is worse, or fails; 2: something has too few runs to say so. */
export function comparisonCode(rows: readonly ComparisonRow[]): 0 | 1 | 2 {
  const has = (verdict: Verdict) => rows.some((row) => row.verdict === verdict);
  if (has("worse") || has("fails")) return 1;
  return has("few") ? 2 : 0;
}

/** Records of two builds, measured as implementations of these names, as if each were shoal in a separate file. */
export function recordsOfBuild(records: readonly BenchRecord[], name: string): BenchRecord[] {
  return records.flatMap((record) =>
    "contender" in record && record.contender === name ? [{ ...record, contender: "shoal-zmtp" }] : [],
  );
}
