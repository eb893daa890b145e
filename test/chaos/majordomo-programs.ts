/** The programs that the Majordomo chaos test kills and stops: each a process of its own. */
const IMPORT = 'import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/patterns";';

/** A broker on a port that it keeps over its lives. */
export const BROKER = `${IMPORT}
const broker = new MajordomoBroker({ heartbeatInterval: 200, queueTimeout: 8_000, maxDeliveries: 20 });
await broker.bind(process.argv[1]);
console.log(broker.lastEndpoint);
`;

/** A worker that takes up to 5 ms, and says each request that reaches its handler. */
export const WORKER = `${IMPORT}
const worker = new MajordomoWorker(process.argv[1], "double", async ([body]) => {
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
  return String(2 * Number(body));
}, { concurrency: 8, heartbeatInterval: 200, reconnectMaxInterval: 400 });
worker.events.on("broker:join", () => console.log("ready"));
`;

/** A client that keeps 40 requests under way until it is told to stop, and then says what became of them. */
export const CLIENT = `${IMPORT}
const client = new MajordomoClient(process.argv[1], { heartbeatInterval: 200, timeout: 20_000, retries: 9 });
const counts = { asked: 0, answered: 0, wrong: 0, errors: {} };
let stop = false;
process.stdin.on("data", () => { stop = true; });
async function lane() {
  while (!stop) {
    const n = counts.asked++;
    try {
      const [reply] = await client.request("double", String(n));
      if (String(reply) === String(2 * n)) counts.answered++;
      else counts.wrong++;
    } catch (error) {
      const why = error.reason ?? error.code;
      counts.errors[why] = (counts.errors[why] ?? 0) + 1;
    }
    if (n % 500 === 0) console.log("progress");
  }
}
console.log("ready");
await Promise.all(Array.from({ length: 40 }, lane));
console.log(JSON.stringify(counts));
await client.close();
process.exit(0);
`;
