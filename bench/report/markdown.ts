/** The tables of docs/performance.md between two markers, and the picture above them; the text around them stays. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BadInput } from "../bad-input.js";
import { writeReport } from "../output.js";
import { SCENARIOS } from "../scenarios/index.js";
import { type Chart, chartsOf, svgOf } from "./charts.js";
import { caseTitle, digits, figure, LEAST_ROUNDS, metricText, spread } from "./format.js";
import { machineLines } from "./machine.js";
import { type BenchRecord, keyOf, type RunRecord } from "./records.js";
import { isOurs, ratioOf, summarize } from "./summary.js";

export const BEGIN = "<!-- bench results: begin -->";
export const END = "<!-- bench results: end -->";

/** @throws BadInput for a page without the markers */
export async function replaceResults(page: string, records: readonly BenchRecord[]): Promise<void> {
  let text: string;
  try {
    text = await readFile(page, "utf8");
  } catch (error) {
    throw new BadInput(`cannot read ${page}: ${(error as Error).message}`);
  }
  await writeReport(page, replaceBetween(text, resultsMarkdown(records), page));
}

export function replaceBetween(text: string, results: string, page: string): string {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from === -1 || to < from) throw new BadInput(`${page} must have the lines ${BEGIN} and ${END}`);
  return `${text.slice(0, from + BEGIN.length)}\n\n${results}\n${text.slice(to)}`;
}

/** A table with a row for each case, and one with the cases in which shoal is slower. */
export function resultsMarkdown(records: readonly BenchRecord[]): string {
  const intro = machineLines(records).map((line) => `- ${line}`);
  const said = records.flatMap((record) => {
    if (record.type === "contender") return [`- ${record.title}: ${record.version ?? "version unknown"}`];
    return record.type === "absent" ? [`- Absent: ${record.contender}, ${record.reason}`] : [];
  });
  const titles = records.flatMap((record) => (record.type === "contender" ? [record.title] : []));
  const columns = [...new Set(titles)];
  const all: string[] = [];
  const slower: string[] = [];
  const failed: string[] = [];
  for (const scenario of SCENARIOS) {
    const { metric } = scenario;
    for (const { key, rows, failed: failures, where } of summarize(records, scenario)) {
      const title = `${scenario.name}, ${caseTitle(key)}, ${metricText(metric)}`;
      const cells = columns.map((name) => {
        const row = rows.find((one) => one.title === name);
        if (row === undefined) return "";
        const value = `${figure(row.metric.value)} ${spread(row.metric, row.rounds)}`.trim();
        return metric.better === "higher" ? `${value}; ${figure(row.cpuMicroseconds)} µs` : value;
      });
      all.push(tableRow([title, ...cells, where.join("; ")]));
      failed.push(...failures.map(({ contender, reason }) => `- Failed: ${title}, ${contender}: ${reason}`));
      const runs = records.filter(
        (record): record is RunRecord => record.type === "run" && keyOf(record) === keyOf(key),
      );
      const runsOf = (contender: string) => runs.filter((run) => run.contender === contender);
      for (const own of rows.filter(({ contender }) => isOurs(contender)))
        for (const other of rows.filter(({ contender }) => !isOurs(contender))) {
          const ratio = ratioOf(runsOf(own.contender), runsOf(other.contender), metric.name);
          if (ratio === undefined || Math.min(own.rounds, other.rounds) < LEAST_ROUNDS) continue;
          const isWorse = metric.better === "higher" ? ratio.high < 1 : ratio.low > 1;
          const figures = [figure(own.metric.value), figure(other.metric.value), digits(ratio.value)];
          if (isWorse) slower.push(tableRow([title, own.title, other.title, ...figures]));
        }
    }
  }
  return [
    ...new Set([...intro, ...said]),
    "",
    "## Results",
    "",
    "Medians, with half of their 95 % interval; next to a rate, the processor time of all sides for each.",
    "",
    ...header(["case", ...columns, "machine and time"], 1),
    ...all,
    ...(failed.length > 0 ? ["", ...failed] : []),
    "",
    "## Where shoal is slower",
    "",
    "The ratio is shoal's figure divided by the other one. Only cases whose whole 95 % interval is on the wrong side of 1.",
    "",
    ...header(["case", "shoal", "compared with", "shoal's", "other", "ratio"], 3),
    ...slower,
    "",
  ].join("\n");
}

function header(titles: readonly string[], words: number): string[] {
  return [tableRow(titles), `|${titles.map((_, at) => (at < words ? " --- |" : " ---: |")).join("")}`];
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Questions of the picture, and the case that answers each. */
const OVERVIEW: readonly { readonly scenario: string; readonly case: string; readonly title: string }[] = [
  { scenario: "throughput", case: "tcp, 64 B", title: "One way, 64 bytes" },
  { scenario: "latency", case: "tcp, 64 B", title: "Round trip, 64 bytes" },
  { scenario: "fan-out", case: "tcp, 64 B, peers=100", title: "To 100 subscribers, 64 bytes" },
  { scenario: "fan-in", case: "tcp, 64 B, peers=100", title: "From 100 producers, 64 bytes" },
];

/** Writes overview.svg and overview-dark.svg. @throws BadInput if none of its cases was measured */
export async function writeOverview(folder: string, records: readonly BenchRecord[]): Promise<void> {
  const charts = OVERVIEW.flatMap(({ scenario: name, case: wanted, title }): Chart[] => {
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario === undefined) return [];
    const one = summarize(records, scenario).find(({ key }) => caseTitle(key) === wanted);
    const [chart] = one === undefined ? [] : chartsOf([one], scenario);
    if (chart === undefined) return [];
    const sign = scenario.metric.better === "higher" ? -1 : 1;
    return [{ ...chart, title, marks: chart.marks.toSorted((a, b) => sign * (a.value - b.value)) }];
  });
  if (charts.length === 0) throw new BadInput("the overview needs throughput, latency, fan-out or fan-in");
  const machines = machineLines(records).flatMap((line) => line.split(/, (?=Node\.js)/));
  const notes = ["Medians; the thin line is the 95 % interval.", ...machines];
  await mkdir(folder, { recursive: true });
  await writeReport(join(folder, "overview.svg"), svgOf(charts, "light", notes));
  await writeReport(join(folder, "overview-dark.svg"), svgOf(charts, "dark", notes));
}
