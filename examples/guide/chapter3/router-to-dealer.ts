/**
 * The same with DEALER workers: the same frames, but the worker puts the empty frame there itself.
 *
 * A DEALER is a REQ without rules: it may send and receive in any order, which is what a worker needs that sends heartbeats or
 * takes several tasks at once. Look at the two lines with the empty frame. `Envelope.parse` on the other side accepts messages
 * with it and without it, so a broker of shoal serves both.
 *
 *   node examples/guide/chapter3/router-to-dealer.ts
 */
import { setTimeout } from "node:timers/promises";
import { Dealer, Envelope, Router } from "shoal";

const TASKS = 20;
const broker = new Router();
await broker.bind("inproc://router-to-dealer");

async function work(name: string, milliseconds: number): Promise<void> {
  const worker = new Dealer();
  worker.connect("inproc://router-to-dealer");
  let done = 0;
  for (;;) {
    await worker.send(["", "ready"]);
    const [, task] = await worker.receive(); // The first frame is empty.
    if (String(task) === "no more") break;
    await setTimeout(milliseconds); // The work.
    done += 1;
  }
  await worker.close();
  console.log(`${name} worker: ${done} tasks`);
}
const workers = [work("fast", 1), work("fast", 1), work("slow", 50)];

for (let task = 0; task < TASKS + workers.length; task++) {
  const { envelope } = Envelope.parse(await broker.receive());
  await broker.reply(envelope, task < TASKS ? `task ${task}` : "no more");
}
await Promise.all(workers);
await broker.close();
