// @ts-check
/**
 * Checks the package as a registry user meets it: packed, installed into empty
 * projects, imported, type-checked, and run. Builds nothing: run the build first.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { reachedDeclarations } from "./declarations.js";
import { FILE as LICENCES } from "./rolldown/licences.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BIN = join(ROOT, "node_modules/.bin");
const { version, overrides, dependencies, exports } = JSON.parse(
  readFileSync(join(ROOT, "package.json"), "utf8"),
);
/** The whole package, packed, in bytes; far more than it should ever need. */
const LARGEST = 2_450_000;
/** What an install of it alone may take, its dependencies included. */
const LARGEST_INSTALLED = 10_500_000;

/** Every entry point, and a message through it. */
const CONSUMER = `
import { Pull, Push, type Message, json } from "shoal";
import * as patterns from "shoal/patterns";
import { PirateClient } from "shoal/pirate";
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
console.log(n, typeof Proxy, patterns.PirateClient === PirateClient, typeof never, frame.length);
`;
const SAYS = "42 function true function 0";

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

/** Without optional packages: who needs one says so, with the command that installs it. */
const WITHOUT = `
import { mkdtempSync } from "node:fs";
import { capability, Context, Pull } from "shoal";
import { CloneLmdbStore } from "shoal/clone";
import { LastValueCache } from "shoal/last-value-cache";
import { LmdbStore, PostgresStore } from "shoal/titanic";
console.log(capability.sodium);
const folder = mkdtempSync("store-");
for (const open of [
  () => new Pull({ context: new Context({ engine: "libzmq" }) }),
  () => LmdbStore.open(folder),
  () => CloneLmdbStore.open(folder),
  () => new LastValueCache({ store: folder }),
  () => PostgresStore.open({ connectionString: "postgres://localhost/nowhere" }),
])
  try { await open(); console.log("opened"); }
  catch (error) { console.log(error.code, /npm install [a-z-]+/.exec(error.message)?.[0]); }
`;
const LACKS = [
  "false",
  "ERR_ENGINE_UNAVAILABLE npm install zeromq",
  ...Array(3).fill("ERR_PACKAGE_UNAVAILABLE npm install lmdb"),
  "ERR_PACKAGE_UNAVAILABLE npm install pg",
].join("\n");

/** The binary: what each of its bundled packages is for, and a broker that keeps requests. */
const BINARY = `
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
const folder = mkdtempSync("work-");
const started = [];
function shoal(...args) {
  const child = spawn(process.execPath, ["node_modules/shoal/dist/cli/main.js", ...args], { stdio: "pipe" });
  started.push(child);
  let said = "";
  let waiting = [];
  const hear = (text) => {
    said += text;
    waiting = waiting.filter(({ pattern, resolve }) => {
      const match = pattern.exec(said);
      if (match !== null) resolve(match);
      return match === null;
    });
  };
  child.stdout.setEncoding("utf8").on("data", hear);
  child.stderr.setEncoding("utf8").on("data", hear);
  const ended = new Promise((resolve) => child.on("close", (code) => resolve({ code, said })));
  const until = (pattern) =>
    new Promise((resolve, reject) => {
      waiting.push({ pattern, resolve });
      hear("");
      ended.then(() => reject(new Error(args.join(" ") + " ended without " + pattern + ": " + said)));
    });
  return { child, ended, until };
}
try {
  const sub = shoal("sub", "--bind", "tcp://127.0.0.1:*", "--count", "1");
  const [, endpoint] = await sub.until(/(tcp:\\S+:\\d+)/);
  const pub = shoal("pub", "--connect", endpoint);
  pub.child.stdin.end("hello\\n");
  console.log("sub", (await sub.ended).code, (await sub.until(/hello/))[0]);

  writeFileSync(folder + "/proxies.yaml", [
    "proxies:",
    "  work:",
    "    kind: streamer",
    "    frontend: { bind: 'tcp://127.0.0.1:*' }",
    "    backend: { bind: 'tcp://127.0.0.1:*' }",
    "",
  ].join("\\n"));
  const options = ["--metrics", "127.0.0.1:0", "--log-format", "json"];
  const proxy = shoal("proxy", "--config", folder + "/proxies.yaml", ...options);
  const [, url] = await proxy.until(/(http:\\/\\/[^/"]+)\\/metrics/);
  await proxy.until(/work has started/);
  const [json] = await proxy.until(/^\\{.*"level":"info".*\\}$/m);
  const metrics = await (await fetch(url + "/metrics")).text();
  console.log("proxy", JSON.parse(json).level, /^shoal_proxy_\\S*messages\\S*\\{.*proxy="work"/m.test(metrics), /^process_cpu_/m.test(metrics));
  const bad = shoal("proxy", "check", "/dev/null");
  console.log("check", (await bad.ended).code);

  const broker = shoal("majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--titanic", folder + "/titanic");
  const [said] = await broker.until(/keeping requests|npm install lmdb/);
  console.log("titanic", said);
} finally {
  for (const child of started) child.kill("SIGKILL");
}
`;
/** What the binary says on the lines of BINARY, but for the last word. */
const DOES = "sub 0 hello\nproxy info true true\ncheck 1\ntitanic";

/** A program for zeromq, which also says whether the package that depends on it is there. */
const MESSAGE_OF_ZEROMQ = `
const { Dealer, Router } = require("zeromq");
(async () => {
  const [router, dealer] = [new Router(), new Dealer()];
  await router.bind("tcp://127.0.0.1:*");
  dealer.connect(router.lastEndpoint);
  await dealer.send("got it");
  const [, ...frames] = await router.receive();
  let user;
  try { user = require("user-of-zeromq") } catch {}
  console.log(frames.map(String), typeof user);
  for (const socket of [router, dealer]) socket.close();
})();
`;

/** A program for its version 5. */
const MESSAGE_OF_ZEROMQ_5 = `
const zmq = require("zeromq");
const [pull, push] = [zmq.socket("pull"), zmq.socket("push")];
pull.on("message", (frame) => {
  console.log(String(frame));
  for (const socket of [pull, push]) socket.close();
});
pull.bind("tcp://127.0.0.1:*", () => {
  push.connect(pull.getsockopt(zmq.ZMQ_LAST_ENDPOINT));
  push.send("got it");
});
`;

const temporary = mkdtempSync(join(tmpdir(), "shoal-package-"));
/** @type {string[]} the files of the package */
let contents = [];
try {
  await check("the tarball has what it should, and no more", checkTarball);
  await check("publint finds nothing", () => run(join(BIN, "publint"), ["--strict", tarball()]));
  await check("attw finds nothing", () => run(join(BIN, "attw"), ["--profile", "esm-only", tarball()]));
  await check("what is bundled brings its licence, and no entry point of the library loads it", checkBundles);
  await check("every relative link of its pages leads to a file of it", checkLinks);
  await check("an empty project can install, import and type-check it, and run its binary", checkInstalled);
  await check(
    "shoal-zeromq installs under the name of zeromq, for a project and for what it depends on",
    checkAlias,
  );
  await check("the installed benchmark measures shoal, and says what its other contenders need", () => {
    const bench = ["--no-install", "shoal", "bench", "throughput", "--smoke", "--size", "64"];
    const peers = ["--transport", "tcp", "--peers", "shoal-zmtp,libzmq,zeromq"];
    const printed = run("npx", [...bench, ...peers], join(temporary, "consumer"));
    assert.match(printed, /shoal \(zmtp\)/);
    assert.match(printed, /its C sources are in a checkout of shoal/);
    assert.match(printed, /npm install zeromq/);
  });
  await check("without optional packages it works, and says what each is for", () => {
    const project = join(temporary, "consumer");
    assert.equal(runModule(project, CURVE), "secret");
    assert.equal(runModule(project, WITHOUT), LACKS);
    assert.equal(runModule(project, BINARY), `${DOES} npm install lmdb`);
  });
  await check("with lmdb and sodium-native, and without their scripts, it uses them", () => {
    const optional = ["lmdb", "sodium-native"].map((name) => `${name}@${dependency(name)}`);
    const project = install("optional", ["--ignore-scripts", tarball(), ...optional]);
    assert.equal(runModule(project, javascript()), SAYS);
    assert.equal(runModule(project, CURVE), "secret");
    assert.match(runModule(project, WITHOUT), /^true\n/);
    assert.equal(runModule(project, BINARY), `${DOES} keeping requests`);
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
    "dist/man/shoal.1.gz",
    "dist/node.schema.json",
    "dist/proxy.schema.json",
    "docs/index.md",
    `dist/${LICENCES}`,
    `dist/bench/${LICENCES}`,
    `dist/web/${LICENCES}`,
  ]) {
    assert.ok(files.includes(name), `${name} is missing`);
  }
  const allowed =
    /^(dist\/.*\.(c?js|d\.ts)|dist\/cjs\/types\/package\.json|dist\/((bench|web)\/)?THIRD-PARTY-LICENSES\.txt|dist\/(node|proxy)\.schema\.json|dist\/man\/shoal\.1\.gz|docs\/([a-z]+\/)?[a-z-]+\.md|docs\/images\/[a-z-]+\.svg|examples\/[a-z-]+\.js|examples\/guide\/chapter\d\/[a-z-]+\.ts|package\.json|(README|CHANGELOG|SECURITY|CODE_OF_CONDUCT)\.md|LICENSE)$/;
  const others = files.filter((name) => !allowed.test(name));
  assert.deepEqual(others.slice(0, 5), [], `${others.length} files do not belong into the package`);
  const reached = reachedDeclarations(join(ROOT, "dist"), exports);
  const unused = files.filter(
    (name) => name.endsWith(".d.ts") && !reached.has(name.replace(/^dist\/(?:cjs\/types\/)?/, "")),
  );
  assert.deepEqual(unused.slice(0, 5), [], `${unused.length} declarations are of no entry point`);
  const generic = files.filter(
    (name) => name.endsWith(".d.ts") && /\bBuffer</.test(readFileSync(join(ROOT, name), "utf8")),
  );
  assert.deepEqual(generic, [], "Buffer takes no type argument where TypeScript 5.6 reads @types/node");
  const mapped = files.filter(
    (name) =>
      /\.c?js$/.test(name) && /^\/\/# sourceMappingURL=/m.test(readFileSync(join(ROOT, name), "utf8")),
  );
  assert.deepEqual(
    mapped.slice(0, 5),
    [],
    `${mapped.length} files name a source map, which the package lacks`,
  );
  assert.ok(packed.size < LARGEST, `The package has ${packed.size} bytes`);
  contents = files;
}

/** Where `import "shoal"` and the other entry points lead, and what in there is of other packages. */
function checkBundles() {
  for (const [folder, least] of /** @type {const} */ ([
    ["dist", 6],
    ["dist/bench", 6],
    ["dist/web", 2],
  ])) {
    const licences = readFileSync(join(ROOT, folder, LICENCES), "utf8");
    const bundled = new Set(contents.filter((name) => belongsTo(name, folder)).flatMap(bundledIn));
    assert.ok(bundled.size >= least, `${folder} has ${[...bundled]}`);
    const silent = [...bundled].filter((name) => !licences.includes(`\n${name} `));
    assert.deepEqual(silent, [], `${folder}/${LICENCES} lacks them`);
  }
  const entries = Object.values(exports).flatMap((entry) => entry.default ?? []);
  for (const entry of entries) {
    const loaded = loadedBy(join(ROOT, entry));
    const packages = [...loaded].flatMap((file) => bundledIn(file.slice(ROOT.length)));
    // What a browser has of CURVE is an import of its own.
    const others = packages.filter((name) => !/curve\.js$/.test(entry) || !name.startsWith("@noble/"));
    assert.deepEqual(others, [], `${entry} loads them`);
  }
  // A dependency is what `import "shoal"` leads to, at once or with the first call that needs it.
  const text = [...loadedBy(join(ROOT, exports["."].default))]
    .map((file) => readFileSync(file, "utf8"))
    .join();
  const idle = Object.keys(dependencies).filter((name) => !text.includes(`"${name}`));
  assert.deepEqual(idle, [], "shoal itself does not need them: bundle them, or make them optional peers");
}

/** @param {string} file in dist @param {string} folder of a build */
function belongsTo(file, folder) {
  const own = ["dist/bench", "dist/web"].find((name) => file.startsWith(`${name}/`)) ?? "dist";
  return file.startsWith("dist/") && /js$/.test(file) && own === folder;
}

/** @param {string} name of a file of the package @returns {string[]} packages: the bundler names each module */
function bundledIn(name) {
  const modules = readFileSync(join(ROOT, name), "utf8").matchAll(
    /^\s*\/\/(?:#region)? .*node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm,
  );
  return [...new Set(Array.from(modules, ([, found]) => /** @type {string} */ (found)))];
}

/** @param {string} file @param {Set<string>} files those found so far @returns {Set<string>} with what it imports */
function loadedBy(file, files = new Set()) {
  if (files.has(file)) return files;
  files.add(file);
  const imports = /^(?:import|export)\b[^;"]*"(\.{1,2}\/[^"]+)"/gm;
  for (const [, path] of readFileSync(file, "utf8").matchAll(imports))
    loadedBy(join(dirname(file), /** @type {string} */ (path)), files);
  return files;
}

function checkLinks() {
  const lost = contents
    .filter((page) => page.endsWith(".md"))
    .flatMap((page) =>
      Array.from(
        readFileSync(join(ROOT, page), "utf8").matchAll(/(?:\]\(|\b(?:src|srcset|href)=")([^)"\s#]+)/g),
        ([, link]) => ({ page, link: /** @type {string} */ (link) }),
      ),
    )
    .filter(({ link }) => !/^[a-z]+:/.test(link))
    .filter(({ page, link }) => !contents.includes(normalize(join(dirname(page), link))));
  assert.deepEqual(lost, [], "not in the package");
}

function checkInstalled() {
  const project = install("consumer", [tarball()]);
  const modules = join(project, "node_modules");
  const installed = Object.keys(
    JSON.parse(readFileSync(join(modules, ".package-lock.json"), "utf8")).packages,
  );
  assert.deepEqual(
    installed.sort(),
    [...Object.keys(dependencies), "shoal"].map((name) => `node_modules/${name}`).sort(),
    "an install brings other packages",
  );
  const bytes = sizeOf(modules);
  assert.ok(bytes <= LARGEST_INSTALLED, `An install has ${bytes} bytes`);
  console.log(`    ${installed.length} packages, ${(bytes / 1e6).toFixed(1)} MB`);
  run("npm", ["install", "--no-audit", "--no-fund", `@types/node@${dependency("@types/node")}`], project);
  assert.equal(runModule(project, javascript()), SAYS);
  assert.equal(runModule(project, MESSAGE_PACK), UNPACKED);
  assert.equal(run("npx", ["--no-install", "shoal", "--version"], project), version);
  const both =
    "const { Push } = require('shoal'); import('shoal').then((shoal) => console.log(Push === shoal.Push))";
  assert.equal(run("node", ["-e", both], project), "true", "a process has two shoals");
  for (const name of ["shoal", "shoal/draft"]) {
    const sealed = `new (require('${name}').${name === "shoal" ? "Push" : "Radio"})().close().then(console.log)`;
    const closed = run("node", ["--no-experimental-require-module", "-e", sealed], project);
    assert.equal(closed, "{ flushed: 0, discarded: 0, unknown: 0 }");
  }

  writeFileSync(join(project, "consumer.ts"), CONSUMER);
  const common = { target: "es2023", strict: true, noEmit: true, types: ["node"] };
  // An ES module cannot be required under node16.
  writeFileSync(
    join(project, "consumer.cts"),
    'import { Push } from "shoal";\nimport { Radio } from "shoal/draft";\nvoid [new Push(), new Radio()];\n',
  );
  for (const [name, resolution] of Object.entries({
    nodenext: { module: "nodenext" },
    node16: { module: "node16" },
    bundler: { module: "esnext", moduleResolution: "bundler" },
  })) {
    // Without skipLibCheck: the declarations themselves are checked, too.
    const compilerOptions = { ...common, ...resolution, exactOptionalPropertyTypes: true };
    const files = ["consumer.ts", ...(name === "node16" ? ["consumer.cts"] : [])];
    writeFileSync(join(project, `${name}.json`), JSON.stringify({ compilerOptions, files }));
    run(join(BIN, "tsc"), ["-p", `${name}.json`], project);
  }
}

/** The lines of its README, with a registry that has nothing else. */
async function checkAlias() {
  const pack = (/** @type {string} */ folder) =>
    join(temporary, run("npm", ["pack", "--ignore-scripts", "--silent", folder]).split("\n").at(-1) ?? "");
  const others = ["packages/shoal-zeromq", "packages/shoal-zeromq-v5", "node_modules/libsodium"];
  const packages = [tarball(), ...others.map((folder) => pack(join(ROOT, folder)))];
  mkdirSync(join(temporary, "user"));
  const user = { name: "user-of-zeromq", version: "1.0.0", main: "i.js", dependencies: { zeromq: "^6.0.0" } };
  writeFileSync(join(temporary, "user/package.json"), JSON.stringify(user));
  writeFileSync(join(temporary, "user/i.js"), 'module.exports = require("zeromq");');
  packages.push(pack("./user"));
  const registry = spawn(process.execPath, [join(ROOT, "scripts/registry.js"), ...packages]);
  try {
    const [address] = await once(registry.stdout, "data");
    const npm = [
      "install",
      "--no-audit",
      "--no-fund",
      `--registry=${String(address).trim()}`,
      `--cache=${join(temporary, "cache")}`,
    ];
    const used = (
      /** @type {string} */ name,
      /** @type {object} */ manifest,
      /** @type {string[]} */ install,
      program = MESSAGE_OF_ZEROMQ,
    ) => {
      const project = join(temporary, name);
      mkdirSync(project);
      writeFileSync(join(project, "package.json"), JSON.stringify({ name, private: true, ...manifest }));
      run("npm", [...npm, ...install], project);
      return run("node", ["-e", program], project);
    };
    assert.equal(used("alias", {}, ["zeromq@npm:shoal-zeromq"]), "[ 'got it' ] undefined");
    const overrides = { zeromq: "npm:shoal-zeromq@0.1.0" };
    assert.equal(used("overridden", { overrides }, ["user-of-zeromq"]), "[ 'got it' ] object");
    const both = ["shoal", "zeromq@npm:shoal-zeromq"];
    assert.equal(used("both", {}, both), "[ 'got it' ] undefined");
    const five = used("five", {}, ["zeromq@npm:shoal-zeromq-v5"], MESSAGE_OF_ZEROMQ_5);
    assert.equal(five, "got it");
  } finally {
    registry.stdin.end();
  }
}

/** The consumer's program without its types. */
function javascript() {
  return CONSUMER.replace(", type Message", "")
    .replaceAll("<{ n: number }>", "")
    .replace(": unknown", "")
    .replace(": Message", "");
}

/** @param {string} path @returns {number} bytes of all files below it, as `du -sb` counts them */
function sizeOf(path) {
  const { size } = lstatSync(path);
  if (!lstatSync(path).isDirectory()) return size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), size);
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
async function check(what, body) {
  const start = performance.now();
  await body();
  console.log(`ok: ${what} (${((performance.now() - start) / 1_000).toFixed(1)} s)`);
}
