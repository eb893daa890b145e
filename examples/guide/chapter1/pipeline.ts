/**
 * Divide and conquer: a ventilator deals tasks to workers, the workers send what they have done to a sink.
 *
 * PUSH deals to its peers in turn, PULL takes from all of them fairly, so a worker is added by starting one more. Look at
 * `ready({ peers })`: without it the first worker to connect would get all the tasks before the others are there. The Guide's
 * ventilator asks its user to press Enter instead. Look at the sink, too, which hears from several peers: messages of one peer
 * come in order, those of two do not, so it does not take the first one for the ventilator's.
 *
 *   node examples/guide/chapter1/pipeline.ts [ventilator | worker | sink] [TASKS-ENDPOINT] [RESULTS-ENDPOINT]
 */
import { setTimeout } from "node:timers/promises";
import { Pull, Push } from "shoal";

const WORKERS = 3;
const TASKS = 30;
const [role = "all", ...endpoints] = process.argv.slice(2);
const [tasks, results] =
  role === "all"
    ? ["inproc://tasks", "inproc://results"]
    : [endpoints[0] ?? "tcp://127.0.0.1:5557", endpoints[1] ?? "tcp://127.0.0.1:5558"];

async function ventilate(): Promise<void> {
  const ventilator = new Push();
  const sink = new Push();
  await ventilator.bind(tasks);
  sink.connect(results);
  await ventilator.ready({ peers: WORKERS });
  await sink.send(String(TASKS)); // How many results to expect.

  let cost = 0;
  for (let i = 0; i < TASKS; i++) {
    const milliseconds = 1 + (i % 10);
    cost += milliseconds;
    await ventilator.send(String(milliseconds));
  }
  console.log(`ventilator: ${TASKS} tasks, ${cost} ms of work`);
  await Promise.all([ventilator.close(), sink.close()]); // Waits until all of it has left.
}

/** Works until its socket closes. */
async function work(worker: Pull): Promise<void> {
  const sink = new Push();
  worker.connect(tasks);
  sink.connect(results);
  let done = 0;
  for await (const [milliseconds] of worker) {
    await setTimeout(Number(milliseconds)); // The work.
    await sink.send("");
    done += 1;
  }
  await sink.close();
  console.log(`worker: did ${done} tasks`);
}

async function collect(): Promise<void> {
  const sink = new Pull();
  await sink.bind(results);
  let expected = Number.POSITIVE_INFINITY;
  let done = 0;
  let started = 0;
  for await (const [message] of sink) {
    if (started === 0) started = performance.now();
    // An empty message is a result. The number of the ventilator comes over a connection of its own, so it may come later.
    if (message?.length === 0) done += 1;
    else expected = Number(message);
    if (done === expected) break;
  }
  console.log(`sink: ${done} results in ${Math.round(performance.now() - started)} ms`);
  await sink.close();
}

if (role === "ventilator") await ventilate();
else if (role === "sink") await collect();
else if (role === "worker") {
  const worker = new Pull();
  process.once("SIGINT", () => worker.close());
  await work(worker);
} else {
  const workers = Array.from({ length: WORKERS }, () => new Pull());
  const working = workers.map(work);
  await Promise.all([ventilate(), collect()]);
  for (const worker of workers) await worker.close();
  await Promise.all(working);
}
