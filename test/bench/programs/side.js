// @ts-check
/** A side that does what its option `mode` says: works, warms up, compiles, crashes, hangs, gives wrong output. No sockets. */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    scenario: { type: "string" },
    role: { type: "string" },
    index: { type: "string" },
    transport: { type: "string" },
    size: { type: "string" },
    count: { type: "string", default: "0" },
    endpoint: { type: "string" },
    option: { type: "string", multiple: true, default: [] },
  },
});
const options = Object.fromEntries(values.option.map((pair) => pair.split("=", 2)));
const mode = values.role === "consumer" ? options.mode : "works";
const messages = Number(values.count);
// For a hundred messages; more of them are five times as fast where a program has to warm up.
const pace = Number(options.seconds ?? 0.001) / (mode === "warms up" && messages > 100 ? 500 : 100);
// Half as fast until it is warm.
const slowness = mode === "compiles" && Number(options.warmup) < 15_000 ? 2 : 1;
const say = (/** @type {object} */ line) => console.log(JSON.stringify(line));

/** Is stopped by the runner before its clock begins, unless others end at once; that runs 10 ms. */
function afterPause() {
  let last = performance.now();
  const latest = last + 1_000;
  for (let now = last; now - last < 30 && now < latest; now = performance.now()) last = now;
  const from = performance.now();
  while (performance.now() < from + 10);
  return (performance.now() - from) / 1_000;
}

console.error(`this is ${values.role}`);
if (mode === "hangs early") await new Promise(() => setInterval(() => undefined, 1_000));
if (mode === "crashes early") throw new Error("no such socket");
const { backend } = options;
say({ type: "ready", endpoint: values.endpoint ?? "", ...(backend === undefined ? {} : { backend }) });
const lines = createInterface({ input: process.stdin });
let heardBegin = false;
lines.on("line", (line) => {
  if (line === "begin") heardBegin = true;
  // A middle side must have heard that the warm-up is over.
  const isDue = values.role === "middle" ? line === "stop" && heardBegin : line === "start";
  if (!isDue || mode === "hangs") return;
  if (mode === "crashes") process.exit(3);
  if (mode === "prints rubbish") return console.log("{rubbish");
  if (mode === "begins" || mode === "begins late") say({ type: "begun" });
  const seconds = mode === "begins late" ? afterPause() : messages * pace * slowness;
  say({
    type: "done",
    messages: mode === "loses" ? messages - 1 : messages,
    bytes: messages * 8,
    seconds,
    checksum: mode === "changes" ? "ffffffff" : "00000000",
    ordered: mode !== "swaps",
    cpuSeconds: 0.001,
    peakRss: 1_000_000,
    gcSeconds: null,
  });
});
// A side that does not end when it is let go would be killed after some seconds.
lines.on("close", () => process.exit(0));
