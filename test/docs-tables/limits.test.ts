/** docs/limits.md is equal to the option table, the context's options and the constants of the source. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Context } from "../../src/index.js";
import { OPTIONS, type OptionSpec, READABLE, WRITABLE } from "../../src/sockets/option-table.js";
import { resolveOptions } from "../../src/sockets/options.js";
import { code, codes, grouped, ROOT, tableUnder } from "./support/markdown.js";

/** "NAME file" of a constant that the protocol gives. */
const WIRE_CONSTANT =
  /^(?!(?:ANSWER_|LAST_|MAX_(?!SHORT)|SLAB_|BY_|HANG_|FLUSH_)\S*)\S+ engine\/zmtp\/|^MAX_(?:SHORT|CONTEXT|IDENTITY) engine\/zmtp\//;

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
  }
}

function socketsOf(spec: OptionSpec): string {
  if (spec.on === undefined) return "all";
  if (spec.on === WRITABLE) return "all that send";
  if (spec.on === READABLE) return "all that receive";
  return spec.on.join(", ");
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? sources(path) : [path];
  });
}

/** The number that a source file gives a constant, or `undefined` when it is no number. */
function constantOf(file: string, name: string): number | undefined {
  const source = readFileSync(join(ROOT, file), "utf8");
  const value = new RegExp(`^(?:export )?const ${name} = ([0-9_.]+);`, "m").exec(source)?.[1];
  return value === undefined ? undefined : Number(value.replaceAll("_", ""));
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
    expect(tableUnder("limits.md", "Socket options")).toEqual(expected);
  });

  it("has the right bound for text", () => {
    expect(() => resolveOptions("Push", { socksProxy: "x".repeat(MAX_TEXT) })).not.toThrow();
    expect(() => resolveOptions("Push", { socksProxy: "x".repeat(MAX_TEXT + 1) })).toThrow();
  });

  it("lists the options of a context with their defaults", () => {
    const context = new Context();
    for (const [name, value] of tableUnder("limits.md", "Context options")) {
      const [option] = codes(name as string) as [keyof Context];
      expect(value, option).toBe(value === "the system's" ? value : code(context[option]));
    }
  });

  it("lists the constants of the source with their values", () => {
    const wrong = tableUnder("limits.md", "Fixed bounds")
      .map(([, value, where]) => ({ value, where: codes(where as string) as [string, string] }))
      .filter(({ value, where: [name, file] }) => {
        const actual = constantOf(`src/${file}`, name);
        return actual === undefined || !(value as string).startsWith(grouped(actual));
      });
    expect(wrong).toEqual([]);
  });

  it("misses no constant that is a number", () => {
    const listed = tableUnder("limits.md", "Fixed bounds").map(([, , where]) =>
      codes(where as string).join(" "),
    );
    const missing = ["core", "engine", "sockets", "proxy"]
      .flatMap((folder) => sources(`src/${folder}`))
      .flatMap((file) => {
        const names = readFileSync(join(ROOT, file), "utf8").matchAll(
          /^(?:export )?const ([A-Z0-9_]+) = [0-9_.]+;/gm,
        );
        return [...names].map(([, name]) => `${name} ${file.slice("src/".length)}`);
      })
      // What the wire has is no bound of ours: sizes and offsets of fields, flags, counters.
      .filter((constant) => !WIRE_CONSTANT.test(constant))
      // The limit of a 32-bit number stands in the ranges above.
      .filter((constant) => constant !== "INT32 sockets/option-table.ts")
      .filter((constant) => !listed.includes(constant));
    expect(missing).toEqual([]);
  });

  it("lists the constants of the patterns with their values", () => {
    const rows = tableUnder("limits.md", "Fixed bounds of the patterns").map(([, value, where]) => ({
      value,
      where: codes(where as string) as [string, string],
    }));
    const wrong = rows.filter(({ value, where: [name, file] }) => {
      const actual = constantOf(`src/${file}`, name);
      return actual === undefined || value !== grouped(actual);
    });
    expect(wrong).toEqual([]);
    const listed = new Set(rows.map(({ where }) => where.join(" ")));
    const missing = sources("src/patterns").flatMap((file) => {
      const names = readFileSync(join(ROOT, file), "utf8").matchAll(
        /^(?:export )?const ((?:MAX|MIN|BATCH|TIMEOUT|CLOSE|DRAIN)\w*) = [0-9_.]+;/gm,
      );
      return [...names].map(([, name]) => `${name} ${file.slice("src/".length)}`);
    });
    // The limit of a 32-bit number bounds all whole numbers.
    expect(missing.filter((each) => !/^MAX /.test(each) && !listed.has(each))).toEqual([]);
  });
});
