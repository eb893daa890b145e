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

console.error(`this is ${values.role}`);
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
  if (mode === "begins") say({ type: "begun" });
  say({
    type: "done",
    messages: mode === "loses" ? messages - 1 : messages,
    bytes: messages * 8,
    seconds: messages * pace * slowness,
    checksum: mode === "changes" ? "ffffffff" : "00000000",
    ordered: mode !== "swaps",
    cpuSeconds: 0.001,
    peakRss: 1_000_000,
    gcSeconds: null,
  });
});
// A side that does not end when it is let go would be killed after some seconds.
lines.on("close", () => process.exit(0));
