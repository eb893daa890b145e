/** docs/engines.md is equal to the engines' capability tables and to the options' defaults. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { OPTIONS, type OptionSpec } from "../../src/core/option-table.js";
import { selectEngine } from "../../src/engine/select.js";
import { ENGINE_NAMES } from "../../src/index.js";
import { code, codes, grouped, ROOT, tableUnder } from "./support/markdown.js";

function shown(value: unknown): string {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number") return grouped(value);
  return Array.isArray(value) ? value.join(", ") : String(value);
}

describe("docs/engines.md", () => {
  it("has a column for each engine", () => {
    const text = readFileSync(join(ROOT, "docs/engines.md"), "utf8");
    const [, head] = /^## Capabilities$[^|]*^(\|.*\|)$/m.exec(text) ?? [];
    expect(codes(head ?? "")).toEqual(ENGINE_NAMES);
  });

  it.each(ENGINE_NAMES)("reports the capabilities of %s", (name) => {
    const column = 1 + ENGINE_NAMES.indexOf(name);
    const rows = tableUnder("engines.md", "Capabilities").map((row) => [codes(row[0] ?? "")[0], row[column]]);
    const { capabilities } = selectEngine(name);
    expect(rows).toEqual(
      Object.entries(capabilities).map(([capability, value]) => [capability, shown(value)]),
    );
  });

  it("lists each option whose default is another in the package zeromq", () => {
    const expected = Object.entries<OptionSpec>(OPTIONS)
      .filter(([, { zeromqDefault }]) => zeromqDefault !== undefined)
      .map(([name, spec]) => [`\`${name}\``, code(spec.default), code(spec.zeromqDefault)]);
    const rows = tableUnder("engines.md", "Defaults that differ").map((row) => row.slice(0, 3));
    expect(rows).toEqual(expected);
  });

  it("gives every difference a reason", () => {
    const rows = tableUnder("engines.md", "Deliberate differences");
    expect(rows.length).toBeGreaterThan(15);
    expect(rows.filter(([what = "", why = ""]) => what.length < 10 || why.length < 10)).toEqual([]);
  });
});
