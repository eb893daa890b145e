/** Tables of bench/results.md between two markers; the text around them stays. pictures.ts draws charts of them. */
import { readFile } from "node:fs/promises";
import { dirname, relative } from "node:path";
import { BadInput } from "../bad-input.js";
import type { Scenario } from "../contract.js";
import { writeReport } from "../output.js";
import { SCENARIOS } from "../scenarios/index.js";
import { caseTitle, figure, LEAST_ROUNDS, metricText, spread } from "./format.js";
import { machineLines } from "./html.js";
import { type BenchRecord, keyOf, type RunRecord } from "./records.js";
import { type CaseSummary, isOurs, ratioOf, summarize } from "./summary.js";

export const BEGIN = "<!-- bench results: begin -->";
export const END = "<!-- bench results: end -->";

/**
 * @param images folder with the charts, if any
 * @returns the whole page
 * @throws BadInput for a page without the markers
 */
export async function replaceResults(
  page: string,
  records: readonly BenchRecord[],
  images?: string,
): Promise<string> {
  let text: string;
  try {
    text = await readFile(page, "utf8");
  } catch (error) {
    throw new BadInput(`cannot read ${page}: ${(error as Error).message}`);
  }
  const folder = images === undefined ? undefined : relative(dirname(page), images).replaceAll("\\", "/");
  const whole = replaceBetween(text, resultsMarkdown(records, folder), page);
  await writeReport(page, whole);
  return whole;
}

export function replaceBetween(text: string, results: string, page: string): string {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from === -1 || to < from) throw new BadInput(`${page} must have the lines ${BEGIN} and ${END}`);
  return `${text.slice(0, from + BEGIN.length)}\n\n${results}\n${text.slice(to)}`;
}

/** @param images folder with the charts, relative to the page */
export function resultsMarkdown(records: readonly BenchRecord[], images?: string): string {
  const parts = machineLines(records).map((line) => `- ${line}`);
  const reported = records
    .filter((record) => record.type === "contender")
    .map(({ title, version }) => `${title}: ${version ?? "version unknown"}`);
  if (reported.length > 0) parts.push(`- ${[...new Set(reported)].join("; ")}`);
  const absent = records.flatMap((record) =>
    record.type === "absent" ? [`- Absent: ${record.contender}, ${record.reason}`] : [],
  );
  parts.push(...new Set(absent));
  for (const scenario of SCENARIOS) {
    const cases = summarize(records, scenario);
    if (cases.length > 0) parts.push("", ...section(cases, scenario, records, images));
  }
  return `${parts.join("\n")}\n`;
}

function section(
  cases: readonly CaseSummary[],
  scenario: Scenario,
  records: readonly BenchRecord[],
  images: string | undefined,
): string[] {
  const { metric } = scenario;
  const lines = [`### ${scenario.name}`, "", scenario.question, ""];
  if (images !== undefined) {
    const path = `${images}/${scenario.name}`;
    lines.push(
      `<picture><source media="(prefers-color-scheme: dark)" srcset="${path}-dark.svg">` +
        `<img alt="${scenario.name}: the table below as a chart" src="${path}.svg"></picture>`,
      "",
    );
  }
  const titles = [...new Set(cases.flatMap(({ rows }) => rows.map(({ title }) => title)))];
  const what = metricText(metric);
  const medians = what === metric.unit ? `Medians in ${what}` : `Medians of the runs' ${what}`;
  lines.push(`${medians}; ${metric.better} is better; ± half of the 95 % interval.`, "");
  lines.push(...header(["case", ...titles]));
  for (const { key, rows } of cases) {
    const cells = titles.map((title) => {
      const row = rows.find((one) => one.title === title);
      return row === undefined ? "–" : `${figure(row.metric.value)} ${spread(row.metric, row.rounds)}`.trim();
    });
    lines.push(tableRow([caseTitle(key), ...cells]));
  }
  lines.push(...ratios(cases, scenario, records));
  for (const { key, failed } of cases) {
    for (const { contender, reason } of failed)
      lines.push("", `Failed: ${caseTitle(key)}, ${contender}: ${reason}`);
  }
  return lines;
}

/**
 * Ratios of shoal's figures to those of each other implementation, round by round. Rows and columns without any ratio
 * are omitted.
 */
function ratios(
  cases: readonly CaseSummary[],
  scenario: Scenario,
  records: readonly BenchRecord[],
): string[] {
  const all = cases.flatMap(({ rows }) => rows);
  const others = [...new Map(all.map(({ contender, title }) => [contender, title]))].filter(
    ([name]) => !isOurs(name),
  );
  const rowsOfRatios: { titles: string[]; values: (number | undefined)[] }[] = [];
  for (const { key, rows } of cases) {
    const runs = records
      .filter((record): record is RunRecord => record.type === "run")
      .filter((run) => keyOf(run) === keyOf(key));
    for (const { contender, title } of rows.filter((row) => isOurs(row.contender))) {
      const own = runs.filter((run) => run.contender === contender);
      const values = others.map(([other]) => {
        const theirs = runs.filter((run) => run.contender === other);
        const few = Math.min(own.length, theirs.length) < LEAST_ROUNDS;
        return few ? undefined : ratioOf(own, theirs, scenario.metric.name)?.value;
      });
      if (values.some((value) => value !== undefined))
        rowsOfRatios.push({ titles: [caseTitle(key), title], values });
    }
  }
  if (rowsOfRatios.length === 0) return [];
  const shown = others.map((_, at) => rowsOfRatios.some(({ values }) => values[at] !== undefined));
  const cell = (value: number | undefined): string =>
    value === undefined ? "–" : `${value.toPrecision(2)} ×`;
  return [
    "",
    "Times the figure of … (– where rounds are too few)",
    "",
    ...header(["case", "implementation", ...others.map(([, title]) => title).filter((_, at) => shown[at])]),
    ...rowsOfRatios.map(({ titles, values }) =>
      tableRow([...titles, ...values.filter((_, at) => shown[at]).map(cell)]),
    ),
  ];
}

function header(titles: readonly string[]): string[] {
  return [tableRow(titles), `|${titles.map((_, i) => (i === 0 ? " --- |" : " ---: |")).join("")}`];
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
