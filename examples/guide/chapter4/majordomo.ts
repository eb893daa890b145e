/**
 * Majordomo: a broker that knows services by name, workers that offer them, clients that ask.
 *
 * Look at how little is left of the Guide's five programs. A worker is a function; heartbeats, reconnecting and retries are not
 * the program's concern. The wire is that of 7/MDP, so clients and workers in other languages take part:
 * `majordomo-by-hand.ts` shows its frames.
 *
 *   node examples/guide/chapter4/majordomo.ts [broker | worker | client] [ENDPOINT]
 */
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";

const [role = "all", given] = process.argv.slice(2);
let endpoint = given ?? "tcp://127.0.0.1:5555";

const startWorker = () => new MajordomoWorker(endpoint, "echo", (request) => request);

async function ask(): Promise<void> {
  const client = new MajordomoClient(endpoint);
  let replies = 0;
  for (; replies < 100; replies++) await client.request("echo", "Hello world"); // One after the other.
  console.log(`client: ${replies} requests and replies`);
  await client.close();
}

if (role === "client") await ask();
else if (role === "worker") {
  const worker = startWorker();
  process.once("SIGINT", () => worker.close());
} else {
  const broker = new MajordomoBroker();
  endpoint = await broker.bind(role === "all" ? "tcp://127.0.0.1:*" : endpoint);
  if (role === "broker") process.once("SIGINT", () => broker.close());
  else {
    const worker = startWorker();
    await ask();
    await worker.close();
    await broker.close();
  }
}
