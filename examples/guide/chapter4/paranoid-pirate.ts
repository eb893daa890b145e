/**
 * Paranoid Pirate: workers and queue send each other heartbeats, so both notice when the other one hangs.
 *
 * The end of a connection shows that a process is gone, but not that it hangs. The first worker here is made by hand: it sends
 * READY (6/PPP), and then nothing more. Look at the queue: after three silent intervals it takes that worker off its list, so
 * no request ever goes there. The second worker is a `PirateWorker`, which has the heartbeats of its own accord.
 *
 *   node examples/guide/chapter4/paranoid-pirate.ts [queue | worker | client] [FRONTEND] [BACKEND]
 */
import { Dealer } from "shoal";
import { PirateClient, PirateQueue, PirateWorker } from "shoal/pirate";

const READY = Buffer.from([1]); // A heartbeat is 2.
const [role = "all", ...given] = process.argv.slice(2);
let [frontend, backend] = [given[0] ?? "tcp://127.0.0.1:5555", given[1] ?? "tcp://127.0.0.1:5556"];
const heartbeatInterval = role === "all" ? 50 : 1_000; // Both sides have the same.

const startWorker = () => new PirateWorker(backend, ([body]) => `${body}, done`, { heartbeatInterval });

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
  const queue = new PirateQueue({ heartbeatInterval, liveness: 3 });
  if (role === "all") [frontend, backend] = ["tcp://127.0.0.1:*", "tcp://127.0.0.1:*"];
  frontend = await queue.bind("frontend", frontend);
  backend = await queue.bind("backend", backend);
  if (role === "queue") process.once("SIGINT", () => queue.close());
  else {
    const hanging = new Dealer();
    hanging.connect(backend);
    await hanging.send(READY);
    await new Promise((resolve) => queue.events.once("worker:left", resolve));
    console.log("queue: a worker was silent, and is taken off the list");
    const worker = startWorker();
    await ask();
    console.log(
      `queue: ${queue.stats().requests} requests, ${queue.stats().repeated} given to a second worker`,
    );
    await Promise.all([hanging.close({ linger: 0 }), worker.close()]);
    await queue.close();
  }
}
