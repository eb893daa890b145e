/** `--html`: one file with a headline, charts and tables, without scripts or links to other places. */
import type { Scenario } from "../contract.js";
import { SCENARIOS } from "../scenarios/index.js";
import { chartsOf, DARK_COLOURS, escapeXml as escapeHtml, svgOf } from "./charts.js";
import { caseTitle } from "./format.js";
import { machineLines } from "./machine.js";
import type { BenchRecord } from "./records.js";
import { type CaseSummary, headlineOf, summarize } from "./summary.js";
import { cellsOf } from "./table.js";

export function htmlReport(records: readonly BenchRecord[], reference?: string): string {
  const measured = SCENARIOS.map((scenario) => ({
    scenario,
    cases: summarize(records, scenario, reference),
  })).filter(({ cases }) => cases.length > 0);
  const headlines = measured.map(({ scenario, cases }) => headlineOf(cases, scenario));
  const headline = headlines.find((text) => text !== undefined);
  const title = headline === undefined ? "shoal bench" : `${headline} on this machine`;
  const versions = [
    ...records.flatMap((record) =>
      record.type === "contender" ? [`${record.title}: ${record.version ?? "version unknown"}`] : [],
    ),
    ...records.flatMap((record) =>
      record.type === "absent" ? [`Absent: ${record.contender}, ${record.reason}`] : [],
    ),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${machineLines(records)
  .map((line) => `<p>${escapeHtml(line)}</p>`)
  .join("\n")}
<details><summary>What was compared</summary>
<ul>${[...new Set(versions)].map((item) => `<li>${escapeHtml(item)}</li>`).join("")}</ul></details>
${measured.map(({ scenario, cases }, at) => section(cases, scenario, headlines[at])).join("\n")}
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.7rem; white-space: nowrap; border-bottom: 1px solid #8884; text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; }
figure, .table { overflow-x: auto; }
figure svg { width: 100%; min-width: 45rem; height: auto; }
pre { background: #8882; padding: 0.5rem; overflow-x: auto; }
.failed { color: light-dark(#a00, #f66); }
@media (prefers-color-scheme: dark) { ${DARK_COLOURS} }`;

function section(cases: readonly CaseSummary[], scenario: Scenario, headline: string | undefined): string {
  const paragraph = [scenario.question, ...(headline === undefined ? [] : [`${headline}.`])].join(" ");
  const parts = [`<h2>${escapeHtml(scenario.name)}</h2><p>${escapeHtml(paragraph)}</p>`];
  for (const chart of chartsOf(cases, scenario)) parts.push(`<figure>${svgOf([chart], "light")}</figure>`);
  for (const one of cases) parts.push(caseHtml(one, scenario));
  return parts.join("\n");
}

function caseHtml(one: CaseSummary, scenario: Scenario): string {
  const { head, rows } = cellsOf(one, scenario);
  const line = (tag: string, list: readonly string[]) =>
    `<tr>${list.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((row) => line("td", row)).join("");
  const table = rows.length === 0 ? "" : `<div class="table"><table>${line("th", head)}${body}</table></div>`;
  const failed = one.failed.map(
    ({ contender, reason, output }) =>
      `<p class="failed">Failed: ${escapeHtml(`${contender}: ${reason}`)}</p>` +
      (output.length === 0 ? "" : `<pre>${escapeHtml(output.join("\n"))}</pre>`),
  );
  const rest =
    one.unsupported.length === 0 ? "" : `<p>Not supported by: ${escapeHtml(one.unsupported.join(", "))}</p>`;
  const where = one.where.map((text) => `<p>${escapeHtml(text)}</p>`).join("");
  return `<h3>${escapeHtml(caseTitle(one.key))}</h3>${where}${table}${failed.join("")}${rest}`;
}
