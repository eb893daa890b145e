/** `--html`: one file with the charts as SVG, without scripts or links to other places. */

import type { Scenario } from "../contract.js";
import { SCENARIOS } from "../scenarios/index.js";
import { chartsOf } from "./charts.js";
import { caseTitle, figure, megabytes, metricText, percent, ratio, spread } from "./format.js";
import type { BenchRecord, MachineRecord } from "./records.js";
import { type CaseSummary, growthOf, summarize } from "./summary.js";
import { escapeXml as escapeHtml, svgOf } from "./svg.js";

export function htmlReport(records: readonly BenchRecord[], reference?: string): string {
  const sections: string[] = [];
  for (const scenario of SCENARIOS) {
    const cases = summarize(records, scenario, reference);
    if (cases.length > 0) sections.push(section(cases, scenario, records));
  }
  const absent = records
    .filter((record) => record.type === "absent")
    .map(({ contender, reason }) => `<li>${escapeHtml(contender)}: ${escapeHtml(reason)}</li>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>shoal bench</title>
<style>${STYLE}</style>
</head>
<body>
<h1>shoal bench</h1>
${machines(records)}
${versions(records)}
${absent.length === 0 ? "" : `<p>Absent:</p><ul>${absent.join("")}</ul>`}
${sections.join("\n")}
</body>
</html>
`;
}

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; overflow-x: auto; }
pre { background: #f6f6f6; padding: 0.5rem; overflow-x: auto; }
.failed { color: #a00; }`;

function machines(records: readonly BenchRecord[]): string {
  const rows = machineLines(records).map((line) => `<li>${escapeHtml(line)}</li>`);
  return `<ul>${rows.join("")}</ul>`;
}

/** One line per machine, commit and pinning, with the first and last time of its measurements: "START/END: …". */
export function machineLines(records: readonly BenchRecord[]): string[] {
  const times = new Map<string, string[]>();
  for (const record of records) {
    if (record.type !== "machine") continue;
    const text = machineText(record);
    times.set(text, [...(times.get(text) ?? []), record.started]);
  }
  return [...times].map(([text, started]) => {
    const [first, last] = [started.toSorted()[0], started.toSorted().at(-1)];
    return `${first === last ? first : `${first}/${last}`}: ${text}`;
  });
}

function machineText(machine: MachineRecord): string {
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const pinned =
    machine.pinned === null ? "not pinned" : `sides pinned to cores ${machine.pinned.join(", ")}`;
  const commit = machine.commit === null ? "" : `, commit ${machine.commit}`;
  return (
    `${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.system}, ` +
    `Node.js ${machine.node.slice(1)}, shoal ${machine.shoal}${commit}, ${pinned}${machine.smoke ? ", smoke run" : ""}`
  );
}

function versions(records: readonly BenchRecord[]): string {
  const rows = records
    .filter((record) => record.type === "contender")
    .map(
      ({ title, version }) => `<li>${escapeHtml(title)}: ${escapeHtml(version ?? "version unknown")}</li>`,
    );
  return `<ul>${[...new Set(rows)].join("")}</ul>`;
}

function section(cases: readonly CaseSummary[], scenario: Scenario, records: readonly BenchRecord[]): string {
  const parts = [`<h2>${escapeHtml(scenario.name)}</h2><p>${escapeHtml(scenario.question)}</p>`];
  for (const chart of chartsOf(cases, scenario, records)) {
    parts.push(`<figure>${svgOf(chart, "light")}</figure>`);
  }
  for (const one of cases) parts.push(caseHtml(one, scenario));
  const growth = growthOf(cases, scenario).map(
    ({ title, text }) => `<li>${escapeHtml(`${title}: ${text}`)}</li>`,
  );
  if (growth.length > 0) {
    parts.push(
      `<p>How the cost grows with ${escapeHtml(scenario.growth ?? "")}:</p><ul>${growth.join("")}</ul>`,
    );
  }
  return parts.join("\n");
}

function caseHtml(one: CaseSummary, scenario: Scenario): string {
  const columns = scenario.columns ?? [];
  const reference = one.rows.find((row) => row.contender === one.reference)?.title;
  const head = [
    "implementation",
    metricText(scenario.metric),
    "95 %",
    reference === undefined ? "ratio" : `ratio to ${reference}`,
    ...columns.map(({ title }) => title),
    "CPU µs each",
    "peak MB",
    "GC",
    "runs",
  ];
  const rows = one.rows.map((row) => [
    row.title,
    figure(row.metric.value),
    spread(row.metric, row.rounds),
    row.contender === one.reference ? "1" : ratio(row.ratio, row.rounds),
    ...columns.map(({ name }) => figure(row.figures[name] ?? Number.NaN)),
    figure(row.cpuMicroseconds),
    megabytes(row.peakRss),
    percent(row.gcShare),
    String(row.rounds),
  ]);
  const cells = (tag: string, list: readonly string[]) =>
    `<tr>${list.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const failed = one.failed.map(
    ({ contender, reason, output }) =>
      `<p class="failed">Failed: ${escapeHtml(`${contender}: ${reason}`)}</p>` +
      (output.length === 0 ? "" : `<pre>${escapeHtml(output.join("\n"))}</pre>`),
  );
  const table =
    rows.length === 0
      ? ""
      : `<table><thead>${cells("th", head)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table>`;
  const rest =
    one.unsupported.length === 0 ? "" : `<p>Not supported by: ${escapeHtml(one.unsupported.join(", "))}</p>`;
  return `<h3>${escapeHtml(caseTitle(one.key))}</h3>${table}${failed.join("")}${rest}`;
}
