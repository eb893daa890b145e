/** The build for browsers: nothing of Node.js in it, and how large it is. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../src/index.js";
import { LONG } from "../support/long.js";
import { WEB, type Web } from "./support/web.js";

/** Bytes of all sockets without CURVE, compressed. */
const LARGEST = 60_000;
/** The same of a page that only pushes, or pulls. */
const LEAST = 52_000;

const ENTRIES = new Map([
  ["shoal/browser", "index.js"],
  ["shoal/browser/curve", "curve.js"],
  ["shoal/browser/draft", "draft.js"],
  ["shoal/browser/inproc", "inproc.js"],
]);

function scripts(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".js"))
    .map((name) => join(folder, name));
}

/** @returns bytes of what a program's own bundler makes of it, compressed */
async function bundled(program: string): Promise<number> {
  const build = await rolldown({
    input: "program",
    platform: "browser",
    plugins: [
      {
        name: "program",
        resolveId: (id) =>
          id === "program" ? id : ENTRIES.has(id) ? join(WEB, ENTRIES.get(id) as string) : undefined,
        load: (id) => (id === "program" ? program : undefined),
      },
    ],
  });
  const { output } = await build.generate({ minify: true });
  await build.close();
  const code = output.map((file) => (file.type === "chunk" ? file.code : "")).join("");
  return gzipSync(code, { level: 9 }).length;
}

describe("the build for browsers", () => {
  it("imports nothing of Node.js, and asks for none of its globals", () => {
    const files = scripts(WEB);
    expect(files.length).toBeGreaterThan(50);
    for (const file of files) {
      const code = readFileSync(file, "utf8");
      expect(/(?:\bfrom|\bimport)\s*\(?\s*["'`]node:/.test(code), file).toBe(false);
      expect(/\brequire\s*\(|createRequire|getBuiltinModule/.test(code), file).toBe(false);
    }
  });

  it("has the classes of the package, and nothing that a page cannot have", async () => {
    const web: object = await import(join(WEB, "index.js"));
    const node: object = await import("../../src/index.js");
    const own = ["pageEndpoint"];
    expect([...Object.keys(node), ...own]).toEqual(expect.arrayContaining(Object.keys(web)));
    expect(Object.keys(web)).not.toContain("Stream");
    const retryable = (codes: typeof ERROR_CODES) =>
      Object.entries(codes).map(([code, row]) => [code, row.retryable === true]);
    expect(retryable((web as Web).ERROR_CODES)).toEqual(retryable(ERROR_CODES));
  });

  it("has errors whose names are not shortened", async () => {
    const min: object = await import(join(WEB, "min/index.js"));
    const errors = Object.entries(min).filter(([name]) => /[a-z]Error$/.test(name));
    expect(errors.length).toBeGreaterThan(8);
    for (const [name, error] of errors)
      expect(new error("EINVAL", "text").name).toBe(name === "AbortedError" ? "AbortError" : name);
  });

  it(`is ${LARGEST} bytes at most, compressed`, async () => {
    const min = readFileSync(join(WEB, "min/index.js"));
    expect(gzipSync(min, { level: 9 }).length).toBeLessThanOrEqual(LARGEST);
  });

  it("leaves out what a program does not use", async () => {
    const all = await bundled('import * as shoal from "shoal/browser"; globalThis.shoal = shoal;');
    const one = await bundled(
      'import { Subscriber } from "shoal/browser"; globalThis.subscriber = new Subscriber();',
    );
    const none = await bundled(
      'import { InvalidStateError } from "shoal/browser"; globalThis.E = InvalidStateError;',
    );
    expect(all).toBeLessThanOrEqual(LARGEST);
    const push = await bundled('import { Push } from "shoal/browser"; globalThis.push = new Push();');
    // A class brings its routing, and those of no other.
    expect(one).toBeLessThan(all - 3_000);
    expect(push).toBeLessThanOrEqual(LEAST);
    expect(none).toBeLessThan(5_000);
    if (!LONG) return;
    const dish = await bundled(
      'import { Dish } from "shoal/browser/draft"; const dish = new Dish(); dish.join("group"); globalThis.dish = dish;',
    );
    expect(dish - one).toBeLessThan(5_000);
    const curve = await bundled(
      'import * as shoal from "shoal/browser"; import { enableCurve } from "shoal/browser/curve"; enableCurve(); globalThis.shoal = shoal;',
    );
    expect(curve - all).toBeGreaterThan(5_000);
    expect(curve - all).toBeLessThan(20_000);
  });
});
