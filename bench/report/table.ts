/** Results of a scenario for the terminal. */
import Table from "cli-table3";
import type { Scenario } from "../contract.js";
import { caseTitle, figure, megabytes, metricText, percent, ratio, spread } from "./format.js";
import type { BenchRecord } from "./records.js";
import { type CaseSummary, summarize } from "./summary.js";

export function scenarioText(
  records: readonly BenchRecord[],
  scenario: Scenario,
  reference?: string,
): string {
  const cases = summarize(records, scenario, reference);
  const lines = [`${scenario.name}: ${scenario.question}`, ""];
  if (cases.length === 0) lines.push("  Nothing was measured.", "");
  for (const one of cases) lines.push(...caseLines(one, scenario), "");
  return lines.join("\n");
}

/** Unavailable implementations; empty if all are available. */
export function absentText(records: readonly BenchRecord[]): string {
  const lines = records
    .filter((record) => record.type === "absent")
    .map(({ contender, reason }) => `Absent: ${contender}, ${reason}`);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function caseLines(one: CaseSummary, scenario: Scenario): string[] {
  const { head, rows } = cellsOf(one, scenario);
  const lines = [`  ${[caseTitle(one.key), ...one.where].join("; ")}`];
  if (rows.length > 0) {
    const table = new Table({
      head,
      style: { head: [], border: [], compact: true },
      colAligns: head.map((_, at) => (at === 0 ? "left" : "right")),
    });
    table.push(...rows);
    const text = table.toString().split("\n");
    lines.push(...text.map((line) => `  ${line}`));
  }
  for (const { contender, reason, output } of one.failed) {
    lines.push(`  Failed: ${contender}: ${reason}`, ...output.map((line) => `    | ${line}`));
  }
  if (one.unsupported.length > 0) lines.push(`  Not supported by: ${one.unsupported.join(", ")}`);
  if (one.stopped === "interrupted") lines.push("  Interrupted: these results are incomplete.");
  if (one.stopped === "time")
    lines.push("  The time of the case ended it; a longer --time makes the intervals narrower.");
  return lines;
}

/** The table of a case, for the terminal and for HTML. */
export function cellsOf(one: CaseSummary, scenario: Scenario): { head: string[]; rows: string[][] } {
  const promoted = { name: "promotedBytes", title: "promoted B per item" };
  const columns = [...(scenario.columns ?? []), promoted].filter(({ name }) =>
    one.rows.some(({ figures }) => Number.isFinite(figures[name])),
  );
  const reference = one.rows.find((row) => row.contender === one.reference)?.title;
  return {
    head: [
      "implementation",
      metricText(scenario.metric),
      "95 %",
      reference === undefined ? "ratio" : `ratio to ${reference}`,
      ...columns.map(({ title }) => title),
      ...["CPU µs per item", "peak MB", "GC", "runs"],
    ],
    rows: one.rows.map((row) => [
      row.title,
      figure(row.metric.value),
      spread(row.metric, row.rounds),
      row.contender === one.reference ? "1" : ratio(row.ratio, row.rounds),
      ...columns.map(({ name }) => figure(row.figures[name] ?? Number.NaN)),
      figure(row.cpuMicroseconds),
      megabytes(row.peakRss),
      percent(row.gcShare),
      String(row.rounds),
    ]),
  };
}
