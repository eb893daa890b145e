/** docs/proxy.md lists every metric as it is exported. */
import { describe, expect, it } from "vitest";
import { BUILD, INFO, labelsOf, METRICS, type MetricsFamily } from "../../src/metrics/metrics-table.js";
import { tableUnder } from "./support/markdown.js";

describe("docs/proxy.md", () => {
  it("has every metric of shoal, with its type, its labels and what it is", () => {
    const row = (name: string, type: string, labels: readonly string[], help: string): string[] => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(", "),
      help,
    ];
    const ofFamilies = (Object.keys(METRICS) as MetricsFamily[]).flatMap((family) =>
      METRICS[family].map((metric) => row(metric.name, metric.type, labelsOf(family, metric), metric.help)),
    );
    const others = [INFO, BUILD].map(({ name, type, labels, help }) => row(name, type, labels, help));
    expect(tableUnder("proxy.md", "Every metric")).toEqual([...ofFamilies, ...others]);
  });
});
