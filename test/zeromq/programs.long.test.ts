/** Programs that nobody wrote for shoal, with pinned versions, run with `shoal-zeromq` in the place of `zeromq`: from the registry. */
import { execFile, execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { installShoalZeromq } from "../support/shoal-zeromq.js";

const folder = installShoalZeromq();
const modules = join(folder, "node_modules");
const call = promisify(execFile);

const PACKAGES = [
  ...[
    "zerorpc@0.9.8",
    "jmp@2.0.0",
    "pigato@0.0.46",
    "nodeunit@0.11.3",
    "temp@0.9.4",
    "mocha@12.0.3",
    "chai@4.5.0",
    "@dashevo/dashd-zmq@1.2.1",
  ],
  ...[
    "esbuild@0.28.2",
    "webpack@5.112.2",
    "webpack-cli@7.3.1",
    "rollup@4.68.8",
    "jest@30.5.2",
    "tsx@4.23.15",
  ],
  ...["@rollup/plugin-node-resolve@16.0.3", "@rollup/plugin-commonjs@29.0.3", "vite@8.3.8"],
];

/** What a command printed, both streams; it may fail. */
async function run(command: string, args: string[], cwd = folder): Promise<string> {
  const bin = join(modules, ".bin", command);
  const { stdout, stderr } = await call(existsSync(bin) ? bin : command, args, { cwd, maxBuffer: 1e8 }).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return stdout + stderr;
}

beforeAll(() => {
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps", ...PACKAGES];
  execFileSync("npm", args, { cwd: folder, stdio: "ignore" });
  // npm removes what no package.json names; and these programs ask for the API of version 5 by the names of its packages.
  for (const name of ["zeromq", "shoal"]) rmSync(join(modules, name), { recursive: true, force: true });
  const fresh = join(installShoalZeromq(), "node_modules");
  for (const name of ["zeromq", "shoal"]) cpSync(join(fresh, name), join(modules, name), { recursive: true });
  // npm nests the package itself where it holds that the one at the top does not fit.
  rmSync(join(modules, "@dashevo/dashd-zmq/node_modules"), { recursive: true });
  for (const name of ["zerorpc/node_modules/zeromq", "jmp/node_modules/zeromq", "zmq"]) {
    const place = join(modules, name);
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place, { recursive: true });
    writeFileSync(
      join(place, "index.js"),
      `module.exports = require(${JSON.stringify(join(modules, "zeromq/v5-compat"))});`,
    );
  }
});

describe("programs of version 5", () => {
  it.each([
    "buffers",
    "errors",
    "heartbeats",
    "invocation",
    "repro-10",
    "streams",
    "timeouts",
  ])("zerorpc: %s", async (name) => {
    expect(await run("nodeunit", [`test/${name}.js`], join(modules, "zerorpc"))).toContain("OK: ");
  });

  it("jmp", async () => {
    // The rest of its suite asks Node.js for a text that is too long for it.
    const args = ["--exit", "test/index.js", "--grep", "toString failed", "--invert"];
    expect(await run("mocha", args, join(modules, "jmp"))).toContain("4 passing");
  });

  it.each([
    ["client", 17],
    ["concurrency", 1],
    ["index", 9],
    ["requestStream", 1],
    ["target", 1],
    ["worker", 23],
  ])("pigato: %s", async (name, passing) => {
    const printed = await run("mocha", ["--exit", `test/${name}.js`], join(modules, "pigato"));
    expect(printed).toContain(`${passing} passing`);
    expect(printed).not.toContain("failing");
  });
});

it("dashd-zmq, for version 6", async () => {
  const args = ["--exit", "lib/**/*.spec.js"];
  const printed = await run("mocha", args, join(modules, "@dashevo/dashd-zmq"));
  expect(printed).toContain("12 passing");
  expect(printed).not.toContain("failing");
});

const BODY = `
(async () => {
  const [router, dealer] = [new Router(), new Dealer()];
  await router.bind("tcp://127.0.0.1:*");
  dealer.connect(router.lastEndpoint);
  await dealer.send("hello");
  console.log("got", String((await router.receive())[1]));
  for (const socket of [router, dealer]) socket.close();
})();`;

describe("bundlers and runners", () => {
  beforeAll(() => {
    writeFileSync(join(folder, "required.cjs"), `const { Dealer, Router } = require("zeromq");${BODY}`);
    writeFileSync(
      join(folder, "imported.mjs"),
      `import zmq, { Router } from "zeromq"; const { Dealer } = zmq;${BODY}`,
    );
    writeFileSync(join(folder, "typed.ts"), `import { Dealer, Router } from "zeromq";${BODY}`);
    const plugins = "plugins: [resolve({ preferBuiltins: true }), commonjs()]";
    writeFileSync(
      join(folder, "rollup.config.mjs"),
      `import resolve from "@rollup/plugin-node-resolve"; import commonjs from "@rollup/plugin-commonjs";
       export default { input: "imported.mjs", output: { file: "out/rollup.mjs", inlineDynamicImports: true }, ${plugins} };`,
    );
    writeFileSync(
      join(folder, "vite.config.mjs"),
      `export default { build: { ssr: "imported.mjs", outDir: "out/vite" }, ssr: { noExternal: true } };`,
    );
    const test = BODY.replace("(async", 'test("passes", async')
      .replace(/\)\(\);$/, ");")
      .replace(/console.log\("got", (.*)\);/, 'expect($1).toBe("hello");');
    writeFileSync(join(folder, "passes.test.js"), `const { Dealer, Router } = require("zeromq");${test}`);
  });

  it.each(["cjs", "esm"])("esbuild: %s", async (format) => {
    for (const file of ["required.cjs", "imported.mjs"]) {
      const out = `out/${file}.${format === "cjs" ? "cjs" : "mjs"}`;
      await run("esbuild", [file, "--bundle", "--platform=node", `--format=${format}`, `--outfile=${out}`]);
      expect(await run("node", [out])).toBe("got hello\n");
    }
  });

  it("webpack", async () => {
    await run("webpack", [
      "--mode",
      "production",
      "--target",
      "node",
      "--entry",
      "./required.cjs",
      "-o",
      "out/webpack",
    ]);
    expect(await run("node", ["out/webpack/main.js"])).toBe("got hello\n");
  });

  it("rollup", async () => {
    await run("rollup", ["-c", "--silent"]);
    expect(await run("node", ["out/rollup.mjs"])).toBe("got hello\n");
  });

  it("Vite, for servers", async () => {
    await run("vite", ["build", "--logLevel", "error"]);
    expect(
      await run("node", [
        `out/vite/imported.${existsSync(join(folder, "out/vite/imported.mjs")) ? "mjs" : "js"}`,
      ]),
    ).toBe("got hello\n");
  });

  it("jest with its defaults, and tsx", async () => {
    expect(await run("jest", ["passes.test.js"])).toContain("1 passed, 1 total");
    expect(await run("tsx", ["typed.ts"])).toBe("got hello\n");
  });
});
