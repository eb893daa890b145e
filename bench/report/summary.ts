/** Summaries of records for reports: the implementations of each case with medians, ratios and costs. Pure. */
import type { Scenario } from "../contract.js";
import { type Interval, medianInterval, pairedRatio } from "../statistics/bootstrap.js";
import { LEAST_ROUNDS } from "../statistics/stopping.js";
import { median } from "../statistics/summary.js";
import { bytes, caseTitle, digits } from "./format.js";
import { shortMachine } from "./machine.js";
import { type BenchRecord, type CaseKey, type FailedRecord, keyOf, type RunRecord } from "./records.js";

export interface Row {
  readonly contender: string;
  readonly title: string;
  readonly rounds: number;
  readonly metric: Interval;
  /** Ratio to the reference; `undefined` for the reference itself, and without one. */
  readonly ratio: Interval | undefined;
  /** Medians of every figure of the runs. */
  readonly figures: Readonly<Record<string, number>>;
  /** Microseconds of processor time per message (or other counted item) of all sides together. */
  readonly cpuMicroseconds: number;
  /** Bytes of the largest side. */
  readonly peakRss: number;
  /** Pauses of the collector as a share of the time, for the worst side; `undefined` if unknown. */
  readonly gcShare: number | undefined;
}

export interface CaseSummary {
  readonly key: CaseKey;
  readonly rows: readonly Row[];
  readonly reference: string | undefined;
  readonly failed: readonly FailedRecord[];
  readonly unsupported: readonly string[];
  readonly stopped: string;
  /** Machines, and the hours of the runs: `AMD EPYC, 2 cores, 2026-11-24 14:31–14:35 UTC`. */
  readonly where: readonly string[];
}

/** Default implementations to compare with: the first measured one. */
const REFERENCES = ["libzmq", "zeromq", "shoal-libzmq"] as const;

/** @param wanted name of the reference; without it in the case, there is none */
export function summarize(
  records: readonly BenchRecord[],
  scenario: Scenario,
  wanted?: string,
): CaseSummary[] {
  const titles = new Map<string, string>();
  const cases = new Map<
    string,
    { key: CaseKey; runs: RunRecord[]; rest: BenchRecord[]; times: Map<string, string[]> }
  >();
  let machine = "unknown machine";
  for (const record of records) {
    if (record.type === "machine") machine = shortMachine(record);
    if (record.type === "contender") titles.set(record.contender, record.title);
    if (!("scenario" in record) || record.scenario !== scenario.name) continue;
    const { transport, size, parameters } = record;
    const key: CaseKey = { scenario: scenario.name, transport, size, parameters };
    const text = keyOf(key);
    let found = cases.get(text);
    if (found === undefined) {
      found = { key, runs: [], rest: [], times: new Map() };
      cases.set(text, found);
    }
    if (record.type === "run") {
      found.runs.push(record);
      found.times.set(machine, [...(found.times.get(machine) ?? []), record.at]);
    } else found.rest.push(record);
  }
  return [...cases.values()].map(({ key, runs, rest, times }) => {
    const byContender = groupByContender(runs);
    const usual = scenario.references ?? REFERENCES;
    const reference = wanted ?? usual.find((name) => byContender.has(name));
    const base = byContender.get(reference ?? "");
    const rows = [...byContender].map(([contender, own]) =>
      rowOf(scenario, titles.get(contender) ?? contender, own, contender === reference ? undefined : base),
    );
    const end = rest.findLast((record) => record.type === "case");
    return {
      key,
      rows: [...titles.keys()]
        .flatMap((name) => rows.filter((row) => row.contender === name))
        .concat(rows.filter((row) => !titles.has(row.contender))),
      reference: base === undefined ? undefined : reference,
      failed: rest.filter((record) => record.type === "failed"),
      unsupported: [
        ...new Set(
          rest.flatMap((record) =>
            record.type === "unsupported" ? [titles.get(record.contender) ?? record.contender] : [],
          ),
        ),
      ],
      stopped: end?.type === "case" ? end.stopped : "interrupted",
      where: [...times].map(([name, at]) => `${name}, ${hoursOf(at)}`),
    };
  });
}

/** `2026-11-24 14:31–14:35 UTC` */
function hoursOf(times: readonly string[]): string {
  const sorted = times.map((time) => time.slice(0, 16).replace("T", " ")).sort();
  const [first = "", last = ""] = [sorted[0], sorted.at(-1)];
  if (first === last) return `${first} UTC`;
  return `${first}–${first.slice(0, 10) === last.slice(0, 10) ? last.slice(11) : last} UTC`;
}

function groupByContender(runs: readonly RunRecord[]): Map<string, RunRecord[]> {
  const groups = new Map<string, RunRecord[]>();
  for (const run of runs) {
    const group = groups.get(run.contender);
    if (group === undefined) groups.set(run.contender, [run]);
    else group.push(run);
  }
  return groups;
}

function rowOf(
  scenario: Scenario,
  title: string,
  runs: readonly RunRecord[],
  base: readonly RunRecord[] | undefined,
): Row {
  const { name } = scenario.metric;
  const values = runs.map((run) => run.figures[name] ?? Number.NaN);
  const names = new Set(runs.flatMap((run) => Object.keys(run.figures)));
  const gc = runs.map(gcShare).filter((share) => share !== undefined);
  return {
    contender: runs[0]?.contender ?? "",
    title,
    rounds: runs.length,
    metric: medianInterval(values),
    ratio: base === undefined ? undefined : ratioOf(runs, base, name),
    figures: Object.fromEntries(
      [...names].map((figure) => [figure, median(runs.map((run) => run.figures[figure] ?? Number.NaN))]),
    ),
    cpuMicroseconds: median(runs.map(cpuPerMessage)),
    peakRss: median(runs.map((run) => Math.max(...run.sides.map((side) => side.peakRss)))),
    gcShare: gc.length === 0 ? undefined : median(gc),
  };
}

/** Only rounds of both: if a round was interrupted between them, it has no ratio. */
export function ratioOf(
  runs: readonly RunRecord[],
  base: readonly RunRecord[],
  metric: string,
): Interval | undefined {
  const theirs = new Map(base.map((run) => [run.round, run.figures[metric] ?? Number.NaN]));
  const common = runs.filter((run) => theirs.has(run.round));
  if (common.length === 0) return undefined;
  return pairedRatio(
    common.map((run) => run.figures[metric] ?? Number.NaN),
    common.map((run) => theirs.get(run.round) as number),
  );
}

/** Counts messages of the measured role, which comes first: a message to ten subscribers counts ten times. */
export function cpuPerMessage({ sides, count }: RunRecord): number {
  const measured = sides.filter(({ role }) => role === sides[0]?.role);
  const messages = measured.reduce((sum, side) => sum + side.messages, 0);
  const seconds = sides.reduce((sum, side) => sum + side.cpuSeconds, 0);
  return (seconds / (messages || count)) * 1e6;
}

function gcShare({ sides }: RunRecord): number | undefined {
  const shares = sides.flatMap(({ gcSeconds, seconds }) =>
    gcSeconds === null || seconds <= 0 ? [] : [gcSeconds / seconds],
  );
  return shares.length === 0 ? undefined : Math.max(...shares);
}

/** Whether it is shoal itself, as opposed to the plain sockets that its patterns are compared with. */
export function isOurs(contender: string): boolean {
  return contender.startsWith("shoal-") && !contender.includes("-plain");
}

/**
 * shoal's ratio to the reference in the case of 1 KiB, or else in the first one: `shoal is 1.9 × libzmq in C at 1 KiB`.
 * `undefined` without a ratio of at least three rounds.
 */
export function headlineOf(cases: readonly CaseSummary[], { metric }: Scenario): string | undefined {
  const one = cases.find(({ key }) => key.size === 1_024) ?? cases[0];
  const row = one?.rows.find(({ contender, ratio }) => isOurs(contender) && ratio !== undefined);
  const other = one?.rows.find(({ contender }) => contender === one.reference)?.title;
  if (one === undefined || row?.ratio === undefined || other === undefined || row.rounds < LEAST_ROUNDS)
    return undefined;
  const at = one.key.size > 0 ? bytes(one.key.size) : caseTitle(one.key);
  const value = digits(row.ratio.value);
  return metric.better === "higher"
    ? `shoal is ${value} × ${other} at ${at}`
    : `shoal takes ${value} × as much as ${other} at ${at}`;
}
