/**
 * A service with several threads: clients talk to one endpoint, worker threads do the computing.
 *
 * JavaScript needs threads for one thing only: what computes for long. Waiting needs none. Look at the `inproc` endpoint: it is
 * one for all threads of the process, so worker threads connect to it as they would to a broker, and nothing is shared but
 * messages. Sockets are never passed between threads: each thread makes its own.
 *
 *   node examples/guide/chapter2/threads.ts [server | client] [ENDPOINT]
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Dealer, Reply, Request, Router, text } from "shoal";

const WORKERS = 2;
const [role = "all", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "tcp://127.0.0.1:*" : "tcp://127.0.0.1:5555");

if (!isMainThread) await work();
else if (role === "client") await ask(endpoint);
else await serve();

/** In a worker thread: answers until the main thread sends "end". */
async function work(): Promise<void> {
  const worker = new Reply({ codec: text() });
  worker.connect("inproc://workers");
  parentPort?.once("message", () => worker.close());
  for await (const [password] of worker) {
    let digest = password;
    for (let i = 0; i < 1_000; i++) digest = createHash("sha256").update(digest).digest("hex"); // It computes.
    await worker.send(digest.slice(0, 8));
  }
}

async function serve(): Promise<void> {
  const clients = new Router();
  const workers = new Dealer();
  await workers.bind("inproc://workers");
  const threads = Array.from({ length: WORKERS }, () => new Worker(new URL(import.meta.url)));
  const ends = threads.map((thread) => once(thread, "exit"));
  await workers.ready({ peers: WORKERS });

  const address = await clients.bind(endpoint);
  const carryRequests = async () => {
    for await (const message of clients) await workers.send(message);
  };
  const carryReplies = async () => {
    for await (const message of workers) await clients.send(message);
  };
  const carrying = [carryRequests(), carryReplies()];
  const end = async () => {
    await clients.close();
    for (const thread of threads) thread.postMessage("end");
    await Promise.all(ends);
    await workers.close();
  };
  if (role === "server") process.once("SIGINT", end);
  else {
    await Promise.all([ask(address), ask(address)]);
    await end();
  }
  await Promise.all(carrying);
  console.log(`server: ${WORKERS} threads have ended`);
}

async function ask(address: string): Promise<void> {
  const client = new Request({ codec: text() });
  client.connect(address);
  const [reply] = await client.request("swordfish");
  console.log(`client: received ${reply}`);
  await client.close();
}
