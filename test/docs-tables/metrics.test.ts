/** docs/metrics.md lists every metric as it is exported. */
import { describe, expect, it } from "vitest";
import { BUILD, FAMILIES, INFO, labelsOf, type MetricsFamily } from "../../src/metrics/metrics-table.js";
import { tableUnder } from "./support/markdown.js";

const code = (text: string): string => `\`${text}\``;

describe("docs/metrics.md", () => {
  it.each(Object.keys(FAMILIES) as MetricsFamily[])("has every metric of the kind %s", (family) => {
    const rows = FAMILIES[family].metrics.map((metric) => [
      code(metric.name),
      metric.type,
      labelsOf(family, metric).map(code).join(", "),
      metric.help,
    ]);
    expect(tableUnder("metrics.md", `Kind ${code(family)}`)).toEqual(rows);
  });

  it("has the metrics of every process", () => {
    const rows = [INFO, BUILD].map(({ name, type, labels, help }) => [
      code(name),
      type,
      labels.map(code).join(", "),
      help,
    ]);
    expect(tableUnder("metrics.md", "Every process")).toEqual(rows);
  });

  it("says which class has which kind, and when it is ready", () => {
    const rows = Object.entries(FAMILIES).flatMap(([kind, { driver, ready }]) =>
      driver === undefined ? [] : [[code(driver), code(kind), ready]],
    );
    expect(tableUnder("metrics.md", "Drivers")).toEqual(rows);
  });
});
