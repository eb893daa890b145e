// @ts-check
/** A job queue with results: a job is kept until a worker has done it, also when workers leave. A client waits for its result, or asks later. */
import assert from "node:assert/strict";
import { ClusterNode, ServiceError } from "shoal/cluster";

const cluster = `jobs-${process.pid}`; // Of this program alone.
/** @typedef {{ state: "waiting" | "done" | "failed", result?: unknown, error?: string }} Job */

/** Keeps the jobs, and has each done. */
class Queue {
  /** What is kept goes to a database here, before `submit` is answered. @type {Map<string, Job>} */
  #jobs = new Map();
  #node;

  /** @param {ClusterNode} node */
  constructor(node) {
    this.#node = node;
    node.serve("jobs.submit", (/** @type {{ id: string, work: unknown }} */ { id, work }) => {
      // The same job again: it was submitted by somebody who got no reply.
      if (!this.#jobs.has(id)) {
        this.#jobs.set(id, { state: "waiting" });
        void this.#run(id, work);
      }
      return id;
    });
    node.serve("jobs.result", (/** @type {string} */ id) => this.#jobs.get(id) ?? null);
  }

  /** @param {unknown} work @returns {Promise<Job>} */
  async #outcomeOf(work) {
    const options = { timeout: 60_000, retries: 10, idempotent: true, waitForReady: true };
    for (;;) {
      try {
        // One after the other until one has done it: workers that go, or have all hands full, are left out.
        return { state: "done", result: await this.#node.request("work", work, options) };
      } catch (error) {
        // All workers have their hands full, for longer than retries last: the job is kept here meanwhile.
        if (!(error instanceof ServiceError && error.reason === "overloaded"))
          return { state: "failed", error: /** @type {Error} */ (error).message };
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** @param {string} id @param {unknown} work */
  async #run(id, work) {
    const job = await this.#outcomeOf(work);
    this.#jobs.set(id, job);
    await this.#node.publish(`jobs/${id}`, JSON.stringify(job));
  }
}

/** @param {string} name */
async function startWorker(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const served = node.serve(
    "work",
    async (/** @type {number} */ n) => {
      if (n < 0) throw Object.assign(new Error(`${n} has no root`), { expose: true });
      await new Promise((resolve) => setTimeout(resolve, 2));
      done.set(name, (done.get(name) ?? 0) + 1);
      return Math.sqrt(n);
    },
    { concurrency: 2, maxQueue: 4 },
  );
  await served.ready;
  return node;
}
/** @type {Map<string, number>} */
const done = new Map();

const keeper = new ClusterNode({ name: "queue", cluster });
const client = new ClusterNode({ name: "client", cluster });
await Promise.all([keeper.start(), client.start()]);
new Queue(keeper);
const [first, second] = await Promise.all(["first", "second"].map(startWorker));
assert(first && second);

// Who wants to know at once subscribes before.
/** @type {Map<string, Job>} */
const finished = new Map();
let all = () => {};
const every = new Promise((resolve) => (all = () => resolve(undefined)));
const JOBS = 60;
await client.subscribe("jobs/+", ({ topic, data }) => {
  finished.set(topic.slice(5), JSON.parse(String(data)));
  if (finished.size === JOBS + 1) all();
}).ready;

const options = { timeout: 20_000, waitForReady: true, idempotent: true };
for (let i = 0; i < JOBS; i++) await client.request("jobs.submit", { id: `job-${i}`, work: i * i }, options);
await client.request("jobs.submit", { id: "wrong", work: -1 }, options);
// A worker goes in the middle of it: what it had not begun another one gets.
await first.close();
await every;
assert.equal([...finished.values()].filter(({ state }) => state === "done").length, JOBS);

// Who comes later asks.
assert.deepEqual(await client.request("jobs.result", "job-7", options), { state: "done", result: 7 });
const wrong = /** @type {Job} */ (await client.request("jobs.result", "wrong", options));
assert.match(wrong.error ?? "", /-1 has no root/);
assert.equal(await client.request("jobs.result", "job-1000", options), null);
assert.equal(
  [...done.values()].reduce((sum, count) => sum + count, 0),
  JOBS,
);
await Promise.all([keeper, client, second].map((node) => node.close({ linger: 0 })));
console.log(`${JOBS} jobs done`);
