/** docs/errors.md lists every code, and the classes that carry it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as cluster from "../../src/cluster/index.js";
import * as sessions from "../../src/cluster/sessions/index.js";
import * as sockets from "../../src/index.js";
import * as patterns from "../../src/patterns/index.js";
import * as testing from "../../src/testing/index.js";
import { codes, ROOT, tableUnder } from "./support/markdown.js";

const rows = tableUnder("errors.md", "Codes").map(([code, classes, meaning, remedy]) => ({
  code: codes(code as string)[0] as string,
  classes: codes(classes as string),
  meaning,
  remedy,
}));

/** Every `new SomeError("CODE"` of the source. */
function thrownPairs(): [string, string][] {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  return files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => [
      ...readFileSync(join(ROOT, "src", file), "utf8").matchAll(/new (\w+Error)\(\s*"([A-Z][A-Z_]+)"/g),
    ])
    .map(([, name, code]) => [name as string, code as string]);
}

/** All that the package exports. */
const shoal = { ...sockets, ...patterns, ...cluster, ...sessions, ...testing };

describe("docs/errors.md", () => {
  it("has a row for each code, with the meaning that the source gives it", () => {
    expect(rows.map(({ code, meaning }) => [code, meaning])).toEqual(Object.entries(shoal.ERROR_CODES));
  });

  it("says for each code what to do", () => {
    expect(rows.filter(({ remedy }) => (remedy ?? "").length < 10)).toEqual([]);
  });

  it("names classes that are exported and are errors of shoal", () => {
    for (const { code, classes } of rows) {
      expect(classes.length, code).toBeGreaterThan(0);
      for (const name of classes) {
        const exported = (shoal as unknown as Record<string, { prototype: unknown }>)[name];
        expect(exported?.prototype, name).toBeInstanceOf(shoal.ShoalError);
      }
    }
  });

  it("names the class of every error that the source makes", () => {
    const pairs = thrownPairs();
    expect(pairs.length).toBeGreaterThan(20);
    const missing = pairs.filter(
      ([name, code]) => !rows.find((row) => row.code === code)?.classes.includes(name),
    );
    expect(missing).toEqual([]);
  });

  it("names the classes that have only one code", () => {
    const single = {
      EINVAL: new shoal.InvalidArgumentError(""),
      EHOSTUNREACH: new shoal.UnroutableError(""),
      ABORT_ERR: new shoal.AbortedError(undefined),
      NOT_SUPPORTED: new shoal.NotSupportedError(""),
      ERR_INVALID_MESSAGE: new shoal.InvalidMessageError(""),
      ERR_PROTOCOL: new shoal.ProtocolError(""),
    };
    for (const [code, error] of Object.entries(single)) {
      expect(error.code).toBe(code);
      expect(rows.find((row) => row.code === code)?.classes).toContain(error.constructor.name);
    }
  });

  it("names every class of error", () => {
    const named = new Set(rows.flatMap(({ classes }) => classes));
    const exported = Object.entries(shoal)
      .filter(([, value]) => (value as { prototype?: unknown }).prototype instanceof shoal.ShoalError)
      .map(([name]) => name);
    expect([...named].sort()).toEqual(exported.sort());
  });
});
