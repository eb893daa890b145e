/** docs/limits.md is equal to the option table and the context's options. */
import { describe, expect, it } from "vitest";
import { OPTIONS, type OptionSpec, READABLE, WRITABLE } from "../../src/core/option-table.js";
import { Context } from "../../src/index.js";
import { resolveOptions } from "../../src/sockets/options.js";
import { code, codes, grouped, tableUnder } from "./support/markdown.js";

/** Bytes that a text option without a bound of its own may have (options.ts). */
const MAX_TEXT = 1_024;

function rangeOf(spec: OptionSpec): string {
  switch (spec.kind) {
    case "boolean":
      return "`true`, `false`";
    case "integer":
      return `${grouped(spec.min as number)} … ${grouped(spec.max as number)}`;
    case "string":
      return `text of at most ${grouped(spec.max ?? MAX_TEXT)} bytes, \`null\``;
    case "key":
      return "40 characters of Z85, 32 bytes, `null`";
    case "bytes":
      return `text or bytes, at most ${grouped(spec.max as number)}, \`null\``;
    case "choice":
      return (spec.choices ?? []).map(code).join(", ");
    case "certificates":
      return "a function, a list of at most 1,000 certificates and keys, `null`";
  }
}

function socketsOf(spec: OptionSpec): string {
  if (spec.on === undefined) return "all";
  if (spec.on === WRITABLE) return "all that send";
  if (spec.on === READABLE) return "all that receive";
  return spec.on.join(", ");
}

describe("docs/limits.md", () => {
  it("lists every socket option with its range, unit, default and sockets", () => {
    const expected = Object.entries<OptionSpec>(OPTIONS).map(([name, spec]) => [
      `\`${name}\``,
      rangeOf(spec),
      spec.unit ?? "",
      code(spec.default),
      socketsOf(spec),
    ]);
    // The document has related options next to each other, the source those of systems apart (core/system-options.ts).
    const byName = (rows: readonly (readonly string[])[]) =>
      [...rows].sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
    expect(byName(tableUnder("limits.md", "Socket options"))).toEqual(byName(expected));
  });

  it("has the right bound for text", () => {
    expect(() => resolveOptions("Push", { socksProxy: "x".repeat(MAX_TEXT) })).not.toThrow();
    expect(() => resolveOptions("Push", { socksProxy: "x".repeat(MAX_TEXT + 1) })).toThrow();
  });

  it("lists the options of a context with their defaults", () => {
    const context = new Context();
    for (const [name, value] of tableUnder("limits.md", "Context options")) {
      const [option] = codes(name as string) as [keyof Context & string];
      expect(value, option).toBe(value === "the system's" ? value : code(context[option]));
    }
  });
});
