/** Results of a scenario for the terminal. */
import Table from "cli-table3";
import type { Scenario } from "../contract.js";
import { caseTitle, figure, megabytes, metricText, percent, ratio, spread } from "./format.js";
import type { BenchRecord } from "./records.js";
import { type CaseSummary, type Row, summarize } from "./summary.js";

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
  const titleOf = (name: string | undefined) => one.rows.find((row) => row.contender === name)?.title ?? name;
  const columns = scenario.columns ?? [];
  const lines = [`  ${caseTitle(one.key)}`];
  if (one.rows.length > 0) {
    const table = new Table({
      head: [
        "implementation",
        metricText(scenario.metric),
        "95 %",
        one.reference === undefined ? "ratio" : `ratio to ${titleOf(one.reference)}`,
        ...columns.map(({ title }) => title),
        "CPU µs each",
        "peak MB",
        "GC",
        "runs",
      ],
      style: { head: [], border: [], compact: true },
      colAligns: ["left", ...Array.from({ length: 7 + columns.length }, () => "right" as const)],
    });
    for (const row of one.rows) table.push(cells(row, one, scenario));
    lines.push(
      ...table
        .toString()
        .split("\n")
        .map((line) => `  ${line}`),
    );
  }
  for (const { contender, reason, output } of one.failed) {
    lines.push(`  Failed: ${contender}: ${reason}`, ...output.map((line) => `    | ${line}`));
  }
  if (one.unsupported.length > 0) lines.push(`  Not supported by: ${one.unsupported.join(", ")}`);
  if (one.stopped === "interrupted") lines.push("  Interrupted: these results are incomplete.");
  return lines;
}

function cells(row: Row, one: CaseSummary, scenario: Scenario): string[] {
  return [
    row.title,
    figure(row.metric.value),
    spread(row.metric, row.rounds),
    row.contender === one.reference ? "1" : ratio(row.ratio, row.rounds),
    ...(scenario.columns ?? []).map(({ name }) => figure(row.figures[name] ?? Number.NaN)),
    figure(row.cpuMicroseconds),
    megabytes(row.peakRss),
    percent(row.gcShare),
    String(row.rounds),
  ];
}
