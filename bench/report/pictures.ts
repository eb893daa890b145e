/**
 * `report --svg FOLDER`: the charts of the pages as files, each in light and dark: NAME.svg and NAME-dark.svg.
 *
 *   overview     four questions for a first impression, one case each
 *   SCENARIO     the scenario's first curve, or its first bars
 *
 * They come from the lines of `--json`, or from tables written by `--markdown`. So a page and its charts have the
 * same figures, and charts can be redrawn without the lines.
 */
import { BadInput } from "../bad-input.js";
import type { Scenario } from "../contract.js";
import { SCENARIOS } from "../scenarios/index.js";
import { subtitleOf } from "./charts.js";
import { caseTitle } from "./format.js";
import { machineLines } from "./html.js";
import type { BenchRecord } from "./records.js";
import { summarize } from "./summary.js";
import { type Chart, type Mark, pictureOf, svgOf, THEMES, type Theme } from "./svg.js";

/** Questions of the overview, and the case that answers each. */
const OVERVIEW: readonly { readonly scenario: string; readonly case: string; readonly title: string }[] = [
  { scenario: "throughput", case: "tcp, 64 B", title: "One way, 64 bytes" },
  { scenario: "latency", case: "tcp, 64 B", title: "Round trip, 64 bytes" },
  { scenario: "fan-out", case: "tcp, 64 B, peers=100", title: "To 100 subscribers, 64 bytes" },
  { scenario: "fan-in", case: "tcp, 64 B, peers=100", title: "From 100 producers, 64 bytes" },
];

/** Drawable results: the cases of each scenario, and the machines. */
export interface Measured {
  readonly machines: readonly string[];
  readonly scenarios: ReadonlyMap<string, readonly MeasuredCase[]>;
}

interface MeasuredCase {
  readonly title: string;
  readonly marks: readonly Mark[];
}

export function measuredOf(records: readonly BenchRecord[]): Measured {
  const scenarios = new Map<string, MeasuredCase[]>();
  for (const scenario of SCENARIOS) {
    const cases = summarize(records, scenario).map(({ key, rows }) => ({
      title: caseTitle(key),
      marks: rows.map(({ title, metric: { value, low, high } }) => ({
        contender: title,
        n: 0,
        value,
        low,
        high,
      })),
    }));
    if (cases.length > 0) scenarios.set(scenario.name, cases);
  }
  return { machines: machineLines(records), scenarios };
}

/**
 * Reads the tables of a page written by `--markdown`.
 * @throws BadInput for a page without them
 */
export function measuredOfPage(text: string, page: string): Measured {
  const machines = Array.from(
    text.matchAll(/^- (\d{4}-\d\d-\d\dT.*, Node\.js .*)$/gm),
    ([, line = ""]) => line,
  );
  const scenarios = new Map<string, MeasuredCase[]>();
  for (const section of text.split(/^### /m).slice(1)) {
    const lines = section.split("\n");
    const [name = ""] = lines;
    const from = lines.findIndex((line) => line.startsWith("| case |"));
    if (from === -1 || !SCENARIOS.some((scenario) => scenario.name === name)) continue;
    const length = lines.slice(from).findIndex((line) => !line.startsWith("|"));
    const [header = "", , ...rows] = lines.slice(from, length === -1 ? undefined : from + length);
    const contenders = cellsOf(header).slice(1);
    const cases = rows.map((row) => {
      const [title = "", ...cells] = cellsOf(row);
      return { title, marks: contenders.flatMap((contender, at) => markOf(contender, cells[at] ?? "–")) };
    });
    if (cases.length > 0) scenarios.set(name, cases);
  }
  if (scenarios.size === 0) throw new BadInput(`${page} has no tables of report --markdown`);
  return { machines, scenarios };
}

function cellsOf(row: string): string[] {
  return row
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Parses `3.76 M ± 4.2 %`; a dash gives no mark. */
function markOf(contender: string, cell: string): Mark[] {
  const match = /^(-?[\d.]+)(?: ([kM]))?(?: ± ([\d.]+) %)?$/.exec(cell);
  if (match === null) return [];
  const [, digits, unit, percent = "0"] = match;
  const value = Number(digits) * (unit === "M" ? 1e6 : unit === "k" ? 1e3 : 1);
  const half = (value * Number(percent)) / 100;
  return [{ contender, n: 0, value, low: value - half, high: value + half }];
}

/** Files by name. The overview comes first, if its cases were measured. */
export function picturesOf(measured: Measured): Map<string, string> {
  const files = new Map<string, string>();
  const add = (name: string, draw: (theme: Theme) => string): void => {
    for (const theme of Object.keys(THEMES) as Theme[])
      files.set(`${name}${theme === "light" ? "" : `-${theme}`}.svg`, draw(theme));
  };
  const overview = OVERVIEW.flatMap(({ scenario: name, case: wanted, title }) => {
    const found = measured.scenarios.get(name)?.find((one) => one.title === wanted);
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (found === undefined || scenario === undefined) return [];
    return [
      { kind: "bars" as const, title, subtitle: subtitleOf(scenario), marks: sorted(found.marks, scenario) },
    ];
  });
  if (overview.length > 0) add("overview", (theme) => pictureOf(overview, notesOf(measured.machines), theme));
  for (const scenario of SCENARIOS) {
    const cases = measured.scenarios.get(scenario.name);
    const chart = cases === undefined ? undefined : chartOf(scenario, cases);
    if (chart !== undefined) add(scenario.name, (theme) => svgOf(chart, theme));
  }
  return files;
}

function sorted(marks: readonly Mark[], { metric }: Scenario): Mark[] {
  const sign = metric.better === "higher" ? -1 : 1;
  return [...marks].sort((a, b) => sign * (a.value - b.value));
}

/** A curve over the parameter in which the cases differ, else bars of the first case. */
function chartOf(scenario: Scenario, cases: readonly MeasuredCase[]): Chart | undefined {
  const { growth } = scenario;
  const [first] = cases;
  if (first === undefined || first.marks.length === 0) return undefined;
  const split = (title: string): { n: number; rest: string } => {
    const parts = title.split(", ");
    const at = parts.findIndex((part) =>
      growth === "size" ? /^\d+ (?:B|KiB|MiB)$/.test(part) : part.startsWith(`${growth}=`),
    );
    const [own = ""] = at === -1 ? [] : parts.splice(at, 1);
    return { n: numberOf(own), rest: parts.join(", ") };
  };
  const { rest } = split(first.title);
  const along = growth === undefined ? [] : cases.filter(({ title }) => split(title).rest === rest);
  const several = along.length > 1 && along.every(({ title }) => split(title).n > 0);
  const subtitle = subtitleOf(scenario);
  if (!several)
    return {
      kind: "bars",
      title: scenario.name,
      subtitle: `${first.title}; ${subtitle}`,
      marks: sorted(first.marks, scenario),
    };
  return {
    kind: "lines",
    title: scenario.name,
    subtitle: `${rest}; ${subtitle}`,
    over: growth === "size" ? "bytes" : (growth ?? ""),
    marks: along.flatMap(({ title, marks }) => marks.map((mark) => ({ ...mark, n: split(title).n }))),
  };
}

/** `64 KiB` in bytes; `peers=10` as 10. */
function numberOf(text: string): number {
  const [, digits = "", unit = ""] = /^(?:[a-z]+=)?(\d+)(?: (B|KiB|MiB))?$/.exec(text) ?? [];
  return Number(digits) * (unit === "KiB" ? 2 ** 10 : unit === "MiB" ? 2 ** 20 : 1);
}

/** Describes the machine without details that all machines share, and explains the chart. */
function notesOf(machines: readonly string[]): string[] {
  const short = machines.map((line) =>
    line.replace(/^(\d{4}-\d\d-\d\d)T[^ ]*: /, "$1: ").replace(/, (?:not pinned|sides pinned .*)$/, ""),
  );
  const where = [...new Set(short)];
  return [
    "Medians; the thin line is the 95 % interval. One machine: the ratios carry over, the figures do not.",
    ...where.slice(0, 3),
    ...(where.length > 3 ? [`and ${where.length - 3} more`] : []),
  ];
}
