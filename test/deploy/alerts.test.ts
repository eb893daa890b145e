/** The alerts in deploy/ are about metrics that there are, with labels that they have. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { FAMILIES, labelsOf, type MetricsFamily } from "../../src/metrics/metrics-table.js";

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

const file = readFileSync(new URL("../../deploy/prometheus/rules.yaml", import.meta.url), "utf8");
const { groups } = parse(file) as { readonly groups: readonly { readonly rules: readonly Alert[] }[] };
const alerts = groups.flatMap(({ rules }) => rules);
const labels = new Map(
  (Object.keys(FAMILIES) as MetricsFamily[]).flatMap((family) =>
    FAMILIES[family].metrics.map((metric) => [metric.name, labelsOf(family, metric)] as const),
  ),
);

it("has alerts of proxies, services and clusters, each by a name of its own", () => {
  expect(alerts.length).toBeGreaterThanOrEqual(10);
  expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
});

it.each(alerts.map((alert) => [alert.alert, alert] as const))("%s", (_, {
  expr,
  labels: own,
  annotations,
}) => {
  const metrics = expr.match(/shoal_\w+/g) ?? [];
  expect(metrics.length).toBeGreaterThan(0);
  const known = new Set(["instance", ...metrics.flatMap((name) => labels.get(name) ?? [`no ${name}`])]);
  const grouped = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = ""]) => names.split(", "));
  for (const name of metrics) expect([...labels.keys()]).toContain(name);
  for (const name of grouped) expect([...known]).toContain(name);
  for (const [, name] of annotations.summary.matchAll(/\$labels\.(\w+)/g)) expect(grouped).toContain(name);
  expect(["warning", "critical"]).toContain(own.severity);
});
