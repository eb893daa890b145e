/**
 * The same broker as a finished part: a `QueueProxy`.
 *
 * The Guide's msgqueue calls a function that never returns. A `SocketProxy` can be looked at, paused and drained while it
 * runs. Look at `drain`: it stops taking requests, and waits until those in flight have their replies, so that a broker can
 * be replaced without a client noticing. The client and worker of `request-broker.ts` work with it as they are.
 *
 *   node examples/guide/chapter2/proxy-queue.ts [queue] [FRONTEND] [BACKEND]
 */
import { Reply, Request, text } from "shoal";
import { QueueProxy } from "shoal/proxy";

const [role = "all", ...given] = process.argv.slice(2);
const queue = new QueueProxy({
  frontend: { bind: given[0] ?? (role === "all" ? "tcp://127.0.0.1:*" : "tcp://127.0.0.1:5559") },
  backend: { bind: given[1] ?? (role === "all" ? "tcp://127.0.0.1:*" : "tcp://127.0.0.1:5560") },
});
await queue.start();
const [frontend = ""] = queue.endpoints.frontend;
const [backend = ""] = queue.endpoints.backend;
console.log("queue: ready");

/** Answers until its socket closes. */
async function work(worker: Reply<string>): Promise<void> {
  for await (const [request] of worker) await worker.send(`${request} World`);
}

async function end(): Promise<void> {
  const { drained, unanswered } = await queue.drain({ timeout: 5_000 });
  console.log(`queue: drained ${drained}, ${unanswered} requests without a reply`);
  await queue.close();
}

if (role === "queue") process.once("SIGINT", end);
else {
  const worker = new Reply({ codec: text() });
  worker.connect(backend);
  const working = work(worker);
  const client = new Request({ codec: text() });
  client.connect(frontend);
  console.log(`client: ${await client.request("Hello", { attemptTimeout: 2_500, retries: 3 })}`);
  await client.close();
  await end();
  await worker.close();
  await working;
}
