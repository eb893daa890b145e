// @ts-check
/**
 * Compares a page in Chromium with a program on Node, both over `wss://` to one server: messages of 64 bytes per
 * second, and round trips. Page and program alternate for several rounds and run the same code. Round trips of a bare
 * `WebSocket` show the cost of the browser or Node itself.
 *
 *   node bench/browser.js [--smoke] [--rounds N] [--chromium PROGRAM]
 *
 * Prints one line of JSON per measurement, then medians and ratios. Needs Chromium, openssl, and dist/.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Pull, Push, Reply, Request } from "../dist/index.js";

const SELF = fileURLToPath(import.meta.url);
const WEB = join(import.meta.dirname, "../dist/web/min");

const { values } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    rounds: { type: "string" },
    chromium: { type: "string", default: "chromium" },
    client: { type: "string" },
    ca: { type: "string" },
  },
});
const [MESSAGES, TRIPS, ROUNDS] = values.smoke
  ? [2_000, 400, 1]
  : [400_000, 2_000, Number(values.rounds ?? 5)];

/**
 * Runs in the page and on Node.
 *
 * @param {any} shoal @param {string} base @param {object} options @param {number} messages @param {number} trips
 */
async function measure(shoal, base, options, messages, trips) {
  const pull = new shoal.Pull({ ...options, receiveHighWaterMark: 20_000 });
  pull.connect(`${base}/push`);
  /** @param {number} count */
  const receiveMany = async (count) => {
    const start = performance.now();
    for (let left = count; left > 0; )
      left -= (await pull.receiveMany({ max: Math.min(left, 1_000) })).length;
    return (1_000 * count) / (performance.now() - start);
  };
  /** @param {number} count */
  const receive = async (count) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) await pull.receive();
    return (1_000 * count) / (performance.now() - start);
  };
  await receiveMany(messages / 4);
  const many = await receiveMany(messages);
  const single = await receive(messages);
  await pull.close({ linger: 0 });

  const request = new shoal.Request(options);
  request.connect(`${base}/reply`);
  const body = new Uint8Array(64);
  const ask = async (/** @type {number} */ count) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) await request.request(body);
    return (performance.now() - start) / count;
  };
  await ask(trips / 4);
  const roundTrip = await ask(trips);
  await request.close({ linger: 0 });
  return {
    "receiveMany msg/s": Math.round(many),
    "receive msg/s": Math.round(single),
    "round trip ms": roundTrip,
  };
}

/**
 * Runs in the page and on Node: round trips of a bare WebSocket with the same server, by hand: READY of a REQ, then
 * requests (docs/spec/ws.md).
 *
 * @param {any} WebSocket @param {string} base @param {number} trips
 */
async function measureBare(WebSocket, base, trips) {
  const socket = new WebSocket(`${base}/reply`, "ZMTP3.1-NULL");
  socket.binaryType = "arraybuffer";
  /** @type {() => void} */
  let onMessage = () => undefined;
  socket.onmessage = () => onMessage();
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const next = () =>
    new Promise((resolve) => {
      onMessage = () => resolve(undefined);
    });
  const ready = next();
  const text = "\u0004\u0019\u0005READY\u000bSocket-Type\0\0\0\u0003REQ";
  socket.send(Uint8Array.from(text, (character) => character.charCodeAt(0)));
  await ready;
  const request = new Uint8Array(2 + 2 + 64);
  request.set([1, 0, 0, 64]);
  let start = 0;
  for (let i = -trips / 4; i < trips; i++) {
    if (i === 0) start = performance.now();
    const reply = next();
    socket.send(request);
    await reply;
  }
  const each = (performance.now() - start) / trips;
  socket.close();
  return each;
}

if (values.client !== undefined) {
  const options = { tlsCa: readFileSync(/** @type {string} */ (values.ca), "latin1") };
  const result = await measure({ Pull, Request }, values.client, options, MESSAGES, TRIPS);
  const { WebSocket } = /** @type {any} */ (globalThis);
  console.log(JSON.stringify({ ...result, bare: await measureBare(WebSocket, values.client, TRIPS) }));
  process.exit(0);
}
// Node 20 has WebSocket behind a flag; Chromium is controlled over it.
if (!("WebSocket" in globalThis)) {
  const args = ["--experimental-websocket", "--no-warnings", SELF, ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const [code] = await once(child, "exit");
  process.exit(code ?? 1);
}
if (!existsSync(join(WEB, "index.js"))) {
  console.error("There is no dist/web: npm run build");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "shoal-bench-browser-"));
const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
execFileSync(
  "openssl",
  [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
  ],
  { stdio: "ignore" },
);

const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
  const name = /^\/lib\/([\w/-]+\.js)$/.exec(request.url ?? "")?.[1];
  response.writeHead(200, { "Content-Type": name === undefined ? "text/html" : "text/javascript" });
  response.end(name === undefined ? "<!doctype html><title>bench</title>" : readFileSync(join(WEB, name)));
}).listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
const origin = `https://127.0.0.1:${port}`;
const base = `wss://127.0.0.1:${port}`;

const push = new Push({ sendHighWaterMark: 20_000 });
await push.bind({ server, path: "/push" });
const reply = new Reply();
await reply.bind({ server, path: "/reply" });
void (async () => {
  for await (const [body] of reply) await reply.send(body);
})().catch(() => undefined);
const body = Buffer.alloc(64, 1);
void (async () => {
  for (;;) {
    while (push.trySend(body));
    await push.send(body);
  }
})().catch(() => undefined);

/**
 * Starts Chromium without a window and controls it by the DevTools protocol. @param {string} program @param {string}
 * url of the page
 */
async function openPage(program, url) {
  const child = spawn(
    program,
    [
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
      ...["--disable-background-networking", "--ignore-certificate-errors", "--remote-debugging-port=0"],
      ...[`--user-data-dir=${join(folder, "chromium")}`, "about:blank"],
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  child.on("error", ({ message }) => {
    console.error(`${program} does not start: ${message}`);
    process.exit(2);
  });
  let address = "";
  for await (const line of createInterface({ input: child.stderr })) {
    address = /DevTools listening on (ws:\S+)/.exec(line)?.[1] ?? "";
    if (address !== "") break;
  }
  child.stderr.resume();
  const socket = new /** @type {any} */ (globalThis).WebSocket(address);
  /** @type {Map<number, (reply: any) => void>} */
  const waiting = new Map();
  socket.onmessage = (/** @type {{ data: unknown }} */ { data }) => {
    const message = JSON.parse(String(data));
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  };
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  let last = 0;
  /** @param {string} method @param {object} params @param {string} [sessionId] @returns {Promise<any>} */
  const call = async (method, params, sessionId) => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params, sessionId }));
    const { result, error } = await new Promise((resolve) => waiting.set(id, resolve));
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  const { targetId } = await call("Target.createTarget", { url });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  /** @param {string} expression @returns {Promise<any>} */
  const evaluate = async (expression) => {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await call("Runtime.evaluate", params, sessionId);
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  for (;;) {
    const ready = `location.href.startsWith(${JSON.stringify(url)}) && document.readyState === "complete"`;
    if (await evaluate(ready)) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    evaluate,
    version: String((await call("Browser.getVersion", {})).product),
    async close() {
      const exited = once(child, "exit");
      await Promise.race([call("Browser.close", {}), exited]);
      await exited;
      socket.close();
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof measure>> & { bare: number }} Result `bare`: ms of a bare WebSocket's round trip */

/** @returns {Promise<Result>} */
async function onNode() {
  const flags = process.execArgv; // Node.js 20 has its own WebSocket behind one.
  const args = [...flags, SELF, "--client", base, "--ca", cert, ...(values.smoke ? ["--smoke"] : [])];
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: cert };
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return JSON.parse(line);
}

/** @param {readonly number[]} all */
function median(all) {
  const sorted = [...all].sort((a, b) => a - b);
  return /** @type {number} */ (sorted[Math.floor(sorted.length / 2)]);
}

const page = await openPage(values.chromium, `${origin}/`);
/** @type {{ node: Result[], page: Result[] }} */
const results = { node: [], page: [] };
try {
  await page.evaluate(`import("/lib/index.js").then((all) => { globalThis.shoal = all; })`);
  for (let round = 0; round < ROUNDS; round++) {
    for (const where of /** @type {const} */ (["node", "page"])) {
      const result =
        where === "node"
          ? await onNode()
          : {
              ...(await page.evaluate(
                `(${measure})(shoal, ${JSON.stringify(base)}, {}, ${MESSAGES}, ${TRIPS})`,
              )),
              bare: await page.evaluate(`(${measureBare})(WebSocket, ${JSON.stringify(base)}, ${TRIPS})`),
            };
      results[where].push(result);
      console.log(JSON.stringify({ where, round, load: loadavg()[0], ...result }));
    }
  }
} finally {
  await page.close();
}

console.log(`\n${page.version} and Node.js ${process.version}, wss, 64 bytes, medians of ${ROUNDS}`);
for (const name of /** @type {(keyof Result)[]} */ ([
  "receiveMany msg/s",
  "receive msg/s",
  "round trip ms",
])) {
  const [inPage, onNode] = [
    median(results.page.map((each) => each[name])),
    median(results.node.map((each) => each[name])),
  ];
  const shown = (/** @type {number} */ value) =>
    value < 100 ? value.toFixed(3) : Math.round(value).toLocaleString("en");
  console.log(
    `${name.padEnd(20)} page ${shown(inPage).padStart(9)}   Node.js ${shown(onNode).padStart(9)}   ratio ${(inPage / onNode).toFixed(2)}`,
  );
}
const [bareInPage, bareOnNode] = [
  median(results.page.map(({ bare }) => bare)),
  median(results.node.map(({ bare }) => bare)),
];
console.log(
  `a bare WebSocket's round trip in the page takes ${bareInPage.toFixed(3)} ms, on Node.js ${bareOnNode.toFixed(3)} ms`,
);

await Promise.all([push.close({ linger: 0 }), reply.close({ linger: 0 })]);
server.closeAllConnections();
server.close();
rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
