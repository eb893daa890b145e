/**
 * Load balancing with REQ workers: a worker asks for work when it is free, so nobody waits behind a slow one.
 *
 * A PUSH or DEALER deals in turn, also to a worker that is busy. A ROUTER can answer exactly the worker that has asked. Look at
 * the frames: REQ puts an empty frame before its request and expects it before the reply, and keeps it out of the worker's
 * sight; the router sees id, empty frame, body. Look at the counts: the slow worker has done less, and the work ended sooner
 * for it.
 *
 *   node examples/guide/chapter3/router-to-request.ts
 */
import { setTimeout } from "node:timers/promises";
import { Request, Router } from "shoal";

const TASKS = 20;
const broker = new Router();
await broker.bind("inproc://router-to-request");

async function work(name: string, milliseconds: number): Promise<void> {
  const worker = new Request();
  worker.connect("inproc://router-to-request");
  let done = 0;
  for (;;) {
    const [task] = await worker.request("ready");
    if (String(task) === "no more") break;
    await setTimeout(milliseconds); // The work.
    done += 1;
  }
  await worker.close();
  console.log(`${name} worker: ${done} tasks`);
}
const workers = [work("fast", 1), work("fast", 1), work("slow", 50)];

for (let task = 0; task < TASKS + workers.length; task++) {
  const message = await broker.receive(); // From the worker that has been free the longest.
  const address = message.slice(0, -1); // All but the body: it leads back.
  await broker.send([...address, task < TASKS ? `task ${task}` : "no more"]);
}
await Promise.all(workers);
await broker.close();
