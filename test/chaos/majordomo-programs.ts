/** The programs that the Majordomo chaos test kills and stops: each a process of its own. */

const IMPORT = 'import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/patterns";';

/** Requests that a worker takes at once, and that a client has under way. */
export const CONCURRENCY = 8;
export const LANES = 40;
/** Requests of a client from one line "progress" to the next, after which the next blow is dealt. */
const BETWEEN = 200;

/** A broker on a port that it keeps over its lives. */
export const BROKER = `${IMPORT}
const broker = new MajordomoBroker({ heartbeatInterval: 200, queueTimeout: 8_000, maxDeliveries: 20 });
await broker.bind(process.argv[1]);
console.log(broker.lastEndpoint);
`;

/** A worker that takes up to 5 ms, and writes each request that reaches its handler to a file of its own. */
export const WORKER = `${IMPORT}
import { openSync, writeSync } from "node:fs";
const [endpoint, folder] = process.argv.slice(1);
const handled = openSync(folder + "/" + process.pid, "a");
const worker = new MajordomoWorker(endpoint, "double", async ([body]) => {
  writeSync(handled, body + "\\n");
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
  return String(2 * Number(String(body).split(".")[1]));
}, { concurrency: ${CONCURRENCY}, heartbeatInterval: 200, reconnectMaxInterval: 400 });
worker.events.on("broker:joined", () => console.log("ready"));
`;

/** A client that keeps many requests under way until it is asked to stop, and then says what became of them. */
export const CLIENT = `${IMPORT}
const client = new MajordomoClient(process.argv[1], { heartbeatInterval: 200, timeout: 20_000, retries: 9 });
const counts = { asked: 0, answered: 0, wrong: 0, errors: {} };
let stop = false;
process.stdin.on("data", () => { stop = true; });
async function lane() {
  while (!stop) {
    const n = counts.asked++;
    try {
      const [reply] = await client.request("double", process.pid + "." + n);
      if (String(reply) === String(2 * n)) counts.answered++;
      else counts.wrong++;
    } catch (error) {
      const why = error.reason ?? error.code;
      counts.errors[why] = (counts.errors[why] ?? 0) + 1;
    }
    if (n % ${BETWEEN} === 0) console.log("progress");
  }
}
console.log("ready");
await Promise.all(Array.from({ length: ${LANES} }, lane));
console.log(JSON.stringify(counts));
await client.close();
process.exit(0);
`;
