/** The tables of docs/performance.md between two markers, and the picture above them; the text around them stays. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BadInput, pick } from "../bad-input.js";
import type { Scenario } from "../contract.js";
import { writeReport } from "../output.js";
import { COLUMNS, TABLE } from "../page.js";
import { SCENARIOS } from "../scenarios/index.js";
import { LEAST_ROUNDS } from "../statistics/stopping.js";
import { type Chart, chartsOf, svgOf } from "./charts.js";
import { caseTitle, digits, figure, metricText } from "./format.js";
import { machineLines } from "./machine.js";
import { type BenchRecord, keyOf, type RunRecord } from "./records.js";
import { type CaseSummary, isOurs, ratioOf, summarize } from "./summary.js";

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

/** The machine, ten rows, and all cases in which shoal is slower. */
export function resultsMarkdown(records: readonly BenchRecord[]): string {
  const versions = records.flatMap((record) =>
    record.type === "contender" && !record.contender.startsWith("shoal")
      ? [record.version ?? record.title]
      : [],
  );
  const absent = records.flatMap((record) =>
    record.type === "absent" ? [`- Absent: ${record.contender}, ${record.reason}`] : [],
  );
  const failed = new Set<string>();
  const slower: string[] = [];
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const scenario of SCENARIOS)
    for (const one of summarize(records, scenario)) {
      const title = `${scenario.name}, ${caseTitle(one.key)}`;
      for (const { contender, reason } of one.failed)
        failed.add(`- Failed: ${title}, ${contender}: ${reason}`);
      for (const { rounds } of one.rows) [least, most] = [Math.min(least, rounds), Math.max(most, rounds)];
      slower.push(...slowerRows(one, scenario, title, records));
    }
  return [
    ...machineLines(records).map((line) => `- **Machine:** ${line}.`),
    ...(versions.length === 0 ? [] : [`- **Others:** ${[...new Set(versions)].join("; ")}.`]),
    `- **Runs:** ${least === most ? most : `${least} to ${most}`} of each case.`,
    ...new Set(absent),
    "",
    "## Results",
    "",
    'Medians over tcp between two processes. "Batch" means `trySend`, `receiveMany` and `batches`; the column before it has one `await` per message. A cell is empty where an implementation lacks the feature, or has no other way to use it.',
    "",
    ...header(["", ...COLUMNS.map(([, title]) => title)], 1),
    ...TABLE.map(({ title, ...wanted }) => {
      const { scenario, one } = caseOf(records, wanted);
      const cells = COLUMNS.map(([name]) => {
        const row = one?.rows.find(({ contender }) => contender === name);
        return row === undefined ? "" : figure(row.metric.value);
      });
      return tableRow([`${title}, ${metricText(scenario.metric)}`, ...cells]);
    }),
    ...(failed.size > 0 ? ["", ...failed] : []),
    "",
    "## Where shoal is slower",
    "",
    "All cases in which the whole 95 % interval of the ratio is below 1. The ratio is that of the speeds: where less is better, the other's figure divided by shoal's. `npx shoal bench list` explains the names.",
    "",
    ...header(["case", "shoal", "compared with", "shoal's", "other", "ratio"], 3),
    ...slower,
    "",
  ].join("\n");
}

function caseOf(
  records: readonly BenchRecord[],
  wanted: { readonly scenario: string; readonly case: string },
): { scenario: Scenario; one: CaseSummary | undefined } {
  const scenario = pick("scenario", SCENARIOS, wanted.scenario);
  return { scenario, one: summarize(records, scenario).find(({ key }) => caseTitle(key) === wanted.case) };
}

function slowerRows(
  { key, rows }: CaseSummary,
  { metric }: Scenario,
  title: string,
  records: readonly BenchRecord[],
): string[] {
  const runsOf = (contender: string) =>
    records.filter(
      (record): record is RunRecord =>
        record.type === "run" && record.contender === contender && keyOf(record) === keyOf(key),
    );
  const others = rows.filter(({ contender }) => !isOurs(contender));
  return rows
    .filter(({ contender }) => isOurs(contender))
    .flatMap((own) =>
      others.flatMap((other) => {
        const pair = [runsOf(own.contender), runsOf(other.contender)] as const;
        const [top, bottom] = metric.better === "higher" ? pair : [pair[1], pair[0]];
        const ratio = ratioOf(top, bottom, metric.name);
        if (ratio === undefined || ratio.high >= 1 || Math.min(own.rounds, other.rounds) < LEAST_ROUNDS)
          return [];
        const figures = [figure(own.metric.value), figure(other.metric.value), digits(ratio.value)];
        return [tableRow([`${title}, ${metricText(metric)}`, own.title, other.title, ...figures])];
      }),
    );
}

function header(titles: readonly string[], words: number): string[] {
  return [tableRow(titles), `|${titles.map((_, at) => (at < words ? " --- |" : " ---: |")).join("")}`];
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Writes overview.svg and overview-dark.svg. @throws BadInput if none of its cases was measured */
export async function writeOverview(folder: string, records: readonly BenchRecord[]): Promise<void> {
  const charts = TABLE.flatMap(({ title, isChart, ...wanted }): Chart[] => {
    const { scenario, one } = caseOf(records, wanted);
    const [chart] = one === undefined || isChart !== true ? [] : chartsOf([one], scenario);
    if (chart === undefined) return [];
    const sign = scenario.metric.better === "higher" ? -1 : 1;
    return [{ ...chart, title, marks: chart.marks.toSorted((a, b) => sign * (a.value - b.value)) }];
  });
  if (charts.length === 0) throw new BadInput("the overview needs throughput, latency or fan-out");
  const machines = machineLines(records).flatMap((line) => line.split(/, (?=Node\.js)/));
  const notes = ["Medians; the thin line is the 95 % interval.", ...machines];
  await mkdir(folder, { recursive: true });
  await writeReport(join(folder, "overview.svg"), svgOf(charts, "light", notes));
  await writeReport(join(folder, "overview-dark.svg"), svgOf(charts, "dark", notes));
}
