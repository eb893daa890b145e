/** The package where programs are CommonJS: the extension host of VS Code, Electron's main process, and a bundle in one file. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { beforeAll, describe, expect, it } from "vitest";
import { removeAfterEach, sharedFolder } from "../support/folders.js";
import { LONG } from "../support/long.js";
import { Child, ROOT } from "./child.js";

const makeFolder = removeAfterEach();
const folder = sharedFolder();
beforeAll(() => {
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules/shoal"), "dir");
});

/** Runs a file. @returns its output */
async function run(file: string): Promise<string> {
  const { code, stdout, stderr } = await new Child(process.execPath, [file], { cwd: folder }).outcome;
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

/** A message over every transport that needs no files, plain and with CURVE. */
const USE = `
async function use({ Context, Pull, Push, curveKeyPair }, { Client, Server }) {
  const context = new Context({ engine: "zmtp" });
  const keys = curveKeyPair();
  for (const endpoint of ["tcp://127.0.0.1:*", "ws://127.0.0.1:*", "inproc://a"])
    for (const curve of [false, true]) {
      if (curve && endpoint.startsWith("inproc")) continue;
      const pull = new Pull({ context, ...(curve ? { curveServer: true, curveSecretKey: keys.secretKey } : {}) });
      const client = curveKeyPair();
      const push = new Push({
        context,
        ...(curve
          ? { curveServerKey: keys.publicKey, curvePublicKey: client.publicKey, curveSecretKey: client.secretKey }
          : {}),
      });
      push.connect(await pull.bind(endpoint));
      await push.send("hello");
      console.log(endpoint.slice(0, 3), curve, String(await pull.receive()));
      await push.close();
      await pull.close();
    }
  const server = new Server({ context });
  const asker = new Client({ context });
  asker.connect(await server.bind("tcp://127.0.0.1:*"));
  await asker.send("draft");
  console.log(String((await server.receive())[0]));
  await asker.close();
  await server.close();
}
`;
const PRINTED = "tcp false hello\ntcp true hello\nws: false hello\nws: true hello\ninp false hello\ndraft\n";

/** Node.js loads modules by `require` from 20.19 and 22.12 on. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const requiresModules = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);

describe("a program in CommonJS", () => {
  it.skipIf(!requiresModules)("requires the package", async () => {
    const file = join(folder, "requires.cjs");
    writeFileSync(file, `${USE} use(require("shoal"), require("shoal/draft"));`);
    expect(await run(file)).toBe(PRINTED);
  });

  it("imports the package when it needs it", async () => {
    const file = join(folder, "imports.cjs");
    writeFileSync(file, `${USE} (async () => use(await import("shoal"), await import("shoal/draft")))();`);
    expect(await run(file)).toBe(PRINTED);
  });

  it.skipIf(!requiresModules)("has one copy of the package, however it gets it", async () => {
    const file = join(folder, "both.cjs");
    const same = `const { Pull } = require("shoal"); console.log(Pull === (await import("shoal")).Pull);`;
    writeFileSync(file, `(async () => { ${same} })();`);
    expect(await run(file)).toBe("true\n");
  });
});

describe("a bundle in one file, where there are no packages,", () => {
  /** By what they are made of. */
  const bundles = new Map<string, string>();

  /** @param withoutUrl as esbuild has it: `import.meta.url` is empty in CommonJS */
  async function bundle(format: "cjs" | "esm", withoutUrl: boolean): Promise<string> {
    const known = bundles.get(format + withoutUrl);
    if (known !== undefined) return known;
    const input = join(folder, "main.mjs");
    const imports = `import * as shoal from "shoal"; import * as draft from "shoal/draft";`;
    writeFileSync(input, `${imports} ${USE} use(shoal, draft);`);
    const build = await rolldown({
      input,
      platform: "node",
      external: ["zeromq"],
      logLevel: "silent",
      ...(withoutUrl ? { transform: { define: { "import.meta.url": "undefined" } } } : {}),
    });
    const { output } = await build.generate({ format, inlineDynamicImports: true });
    await build.close();
    expect(output).toHaveLength(1);
    bundles.set(format + withoutUrl, output[0].code);
    return output[0].code;
  }

  async function bundled(format: "cjs" | "esm", withoutUrl: boolean): Promise<string> {
    const code = await bundle(format, withoutUrl);
    const alone = makeFolder();
    const file = join(alone, format === "cjs" ? "main.cjs" : "main.mjs");
    writeFileSync(file, code);
    return run(file);
  }

  const more = [["cjs", false] as const, ["esm", false] as const];
  it.each([
    ["cjs", true] as const,
    ...(LONG ? more : []),
  ])("runs (%s, without its URL: %s), with CURVE", async (format, withoutUrl) => {
    expect(await bundled(format, withoutUrl)).toBe(PRINTED);
  });
});
