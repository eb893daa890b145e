// @ts-check
/**
 * Checks the package as a registry user meets it: packed, installed into empty
 * projects, imported, type-checked, and run. Builds nothing: run the build first.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BIN = join(ROOT, "node_modules/.bin");
const { version, overrides } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
/** The whole package, packed, in bytes; far more than it should ever need. */
const LARGEST = 1_000_000;

/** Every entry point, and a message through it. */
const CONSUMER = `
import { Pull, Push, type Message, json } from "shoal";
import * as patterns from "shoal/patterns";
import { Proxy } from "shoal/proxy";

const pull = new Pull({ codec: json<{ n: number }>() });
const push = new Push({ codec: json<{ n: number }>() });
await pull.bind("tcp://127.0.0.1:*");
push.connect(pull.lastEndpoint ?? "");
await push.send({ n: 42 });
const [{ n }] = await pull.receive();
// @ts-expect-error A Push does not receive.
const never = (): unknown => push.receive();
const frame: Message = Buffer.from("");
await Promise.all([push.close(), pull.close()]);
console.log(n, typeof Proxy, typeof patterns, typeof never, frame.length);
`;
const SAYS = "42 function object function 0";

/** CURVE without native code. */
const CURVE = `
import { curveKeyPair, Pull, Push } from "shoal";
const [server, client] = [curveKeyPair(), curveKeyPair()];
const pull = new Pull({ curveServer: true, curveSecretKey: server.secretKey });
const push = new Push({
  curveServerKey: server.publicKey, curvePublicKey: client.publicKey, curveSecretKey: client.secretKey,
});
await pull.bind("tcp://127.0.0.1:*");
push.connect(pull.lastEndpoint);
await push.send("secret");
console.log(String(await pull.receive()));
await Promise.all([push.close(), pull.close()]);
`;

/** MessagePack, with the native helper of msgpackr that npm found, or without one. */
const MESSAGE_PACK = `
import { msgpack } from "shoal";
const codec = msgpack();
console.log(JSON.stringify(codec.decode(codec.encode({ word: "é", list: [1, -2, 3.5] }))));
`;
const UNPACKED = '{"word":"é","list":[1,-2,3.5]}';

/** Without the optional package zeromq: its engine says what is missing. */
const WITHOUT_ENGINE = `
import { Context, Pull } from "shoal";
try { new Pull({ context: new Context({ engine: "libzmq" }) }); } catch (error) { console.log(error.code); }
`;

const temporary = mkdtempSync(join(tmpdir(), "shoal-package-"));
try {
  check("the tarball has what it should, and no more", checkTarball);
  check("publint finds nothing", () => run(join(BIN, "publint"), ["--strict", tarball()]));
  check("attw finds nothing", () => run(join(BIN, "attw"), ["--profile", "esm-only", tarball()]));
  check("an empty project can install, import and type-check it, and run its binary", checkInstalled);
  check("the installed benchmark measures shoal, and says what its other contenders need", () => {
    const bench = [
      "--no-install",
      "shoal",
      "bench",
      "throughput",
      "--smoke",
      "--size",
      "64",
      "--transport",
      "tcp",
    ];
    const told = run("npx", [...bench, "--peers", "shoal-zmtp,libzmq,pyzmq"], join(temporary, "consumer"));
    assert.match(told, /shoal \(zmtp\)/);
    assert.match(told, /its C sources are in a checkout of shoal/);
    assert.match(told, /its Python sources are in a checkout of shoal/);
  });
  check("an install without scripts works", () => {
    const project = install("no-scripts", ["--ignore-scripts", tarball()]);
    assert.equal(runModule(project, javascript()), SAYS);
  });
  check("an install without optional packages works, and says what the engine libzmq needs", () => {
    const project = install("no-optional", ["--omit=optional", tarball()]);
    assert.equal(runModule(project, javascript()), SAYS);
    assert.equal(runModule(project, CURVE), "secret");
    assert.equal(runModule(project, MESSAGE_PACK), UNPACKED);
    assert.equal(runModule(project, WITHOUT_ENGINE), "ERR_ENGINE_UNAVAILABLE");
  });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

function checkTarball() {
  assert.equal(
    overrides,
    undefined,
    "overrides hold in a checkout alone: what is tested would not be what users get",
  );
  const packed = JSON.parse(
    run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", temporary], ROOT),
  )[0];
  /** @type {string[]} */
  const files = packed.files.map((/** @type {{ path: string }} */ file) => file.path);
  for (const name of [
    "dist/index.js",
    "dist/index.d.ts",
    "dist/cli/main.js",
    "dist/proxy.schema.json",
    "docs/index.md",
  ]) {
    assert.ok(files.includes(name), `${name} is missing`);
  }
  const allowed =
    /^(dist\/.*\.(js|d\.ts|map)|dist\/proxy\.schema\.json|docs\/(patterns\/)?[a-z-]+\.md|package\.json|(README|CHANGELOG)\.md|LICENSE)$/;
  const others = files.filter((name) => !allowed.test(name));
  assert.deepEqual(others.slice(0, 5), [], `${others.length} files do not belong into the package`);
  const generic = files.filter(
    (name) => name.endsWith(".d.ts") && /\bBuffer</.test(readFileSync(join(ROOT, name), "utf8")),
  );
  assert.deepEqual(generic, [], "Buffer takes no type argument where TypeScript 5.6 reads @types/node");
  assert.ok(packed.size < LARGEST, `The package has ${packed.size} bytes`);
}

function checkInstalled() {
  const project = install("consumer", [tarball(), `@types/node@${dependency("@types/node")}`]);
  assert.equal(runModule(project, javascript()), SAYS);
  assert.equal(runModule(project, MESSAGE_PACK), UNPACKED);
  assert.equal(run("npx", ["--no-install", "shoal", "--version"], project), version);
  assert.equal(run("node", ["-e", "console.log(typeof require('shoal').Push)"], project), "function");

  writeFileSync(join(project, "consumer.ts"), CONSUMER);
  const common = { target: "es2023", strict: true, noEmit: true, types: ["node"] };
  for (const [name, resolution] of Object.entries({
    nodenext: { module: "nodenext" },
    bundler: { module: "esnext", moduleResolution: "bundler" },
  })) {
    // Without skipLibCheck: the declarations themselves are checked, too.
    const compilerOptions = { ...common, ...resolution, exactOptionalPropertyTypes: true };
    writeFileSync(join(project, `${name}.json`), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
    run(join(BIN, "tsc"), ["-p", `${name}.json`], project);
  }
}

/** The consumer's program without its types. */
function javascript() {
  return CONSUMER.replace(", type Message", "")
    .replaceAll("<{ n: number }>", "")
    .replace(": unknown", "")
    .replace(": Message", "");
}

function tarball() {
  const path = join(temporary, `shoal-${version}.tgz`);
  assert.ok(existsSync(path), "The package could not be packed");
  return path;
}

/** @param {string} name */
function dependency(name) {
  return JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).devDependencies[name];
}

/**
 * An empty project with packages installed into it.
 *
 * @param {string} name
 * @param {string[]} packages
 */
function install(name, packages) {
  const project = join(temporary, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name, private: true, type: "module" }));
  run("npm", ["install", "--no-audit", "--no-fund", ...packages], project);
  return project;
}

/**
 * @param {string} project
 * @param {string} code
 */
function runModule(project, code) {
  writeFileSync(join(project, "run.js"), code);
  return run("node", ["run.js"], project);
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {string} what it wrote to standard output
 */
function run(command, args, cwd = temporary) {
  try {
    const stdio = /** @type {const} */ (["ignore", "pipe", "pipe"]);
    return execFileSync(command, args, { cwd, stdio, encoding: "utf8", timeout: 180_000 }).trim();
  } catch (error) {
    const { stdout = "", stderr = "" } = /** @type {{ stdout?: string, stderr?: string }} */ (error);
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

/**
 * @param {string} what
 * @param {() => unknown} body
 */
function check(what, body) {
  const start = performance.now();
  body();
  console.log(`ok: ${what} (${((performance.now() - start) / 1_000).toFixed(1)} s)`);
}
