/**
 * Simple Pirate: a queue between clients and workers, so that a client does not depend on one server.
 *
 * Workers are REQ sockets that ask for work, as in chapter 3; clients try again. The first worker here is made by hand and dies
 * with a request. Look at what the queue does: it sees the worker's connection end, and gives the request to the next one at
 * once. With the Guide's queue the client has to wait for its own timeout and send it again.
 *
 *   node examples/guide/chapter4/simple-pirate.ts [queue | worker | client] [FRONTEND] [BACKEND]
 */
import { Request } from "shoal";
import { PirateClient, PirateQueue, PirateWorker } from "shoal/pirate";

const [role = "all", ...given] = process.argv.slice(2);
let [frontend, backend] = [given[0] ?? "tcp://127.0.0.1:5555", given[1] ?? "tcp://127.0.0.1:5556"];

const startWorker = () => new PirateWorker(backend, ([body]) => `${body}, done`, { dialect: "simple" });

async function ask(): Promise<void> {
  const client = new PirateClient(frontend, { attemptTimeout: 2_500, retries: 3 });
  for (const request of ["one", "two", "three"]) console.log(`client: ${await client.request(request)}`);
  await client.close();
}

if (role === "client") await ask();
else if (role === "worker") {
  const worker = startWorker();
  process.once("SIGINT", () => worker.close());
} else {
  const queue = new PirateQueue();
  if (role === "all") [frontend, backend] = ["tcp://127.0.0.1:*", "tcp://127.0.0.1:*"];
  frontend = await queue.bind("frontend", frontend);
  backend = await queue.bind("backend", backend);
  if (role === "queue") process.once("SIGINT", () => queue.close());
  else {
    const dying = new Request();
    dying.connect(backend);
    await dying.send(Buffer.from([1])); // READY
    const asking = ask();
    await dying.receive(); // It gets the first request …
    await dying.close({ linger: 0 }); // … and is gone.
    const worker = startWorker();
    await asking;
    const { requests, repeated } = queue.stats();
    console.log(`queue: ${requests} requests, ${repeated} given to a second worker`);
    await worker.close();
    await queue.close();
  }
}
