/** Pirates under kill -9, SIGSTOP and SIGCONT, with clients at work: each request ends once, with its own reply or an error. */
import { afterEach, describe, expect, it } from "vitest";
import { PirateClient } from "../../src/patterns/pirate/client.js";
import { within } from "../contract/support/wait.js";
import { type Child, start } from "../process/child.js";
import { Blows, PATIENCE } from "./blows.js";

const BLOWS = 150;
/** ms that all of it may take. */
const LIMIT = 2_400_000;
const CLIENTS = 4;
const WORKERS = 3;

const children = new Set<Child>();
const clients: PirateClient[] = [];

function program(source: string, ...args: string[]): Child {
  const child = start(source, { args, limit: LIMIT });
  children.add(child);
  void child.outcome.then(() => children.delete(child));
  return child;
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all([...children].map((child) => child.kill()));
});

const QUEUE = `
  import { PirateQueue } from "shoal/patterns";
  const socketOptions = { heartbeatInterval: 100, heartbeatTimeout: 300 };
  const queue = new PirateQueue({ heartbeatInterval: 100, socketOptions });
  console.log(await queue.bind("frontend", process.argv[1]));
  console.log(await queue.bind("backend", process.argv[2]));
`;

const WORKER = `
  import { PirateWorker } from "shoal/patterns";
  const options = { heartbeatInterval: 100, reconnectInterval: 50, reconnectMaxInterval: 200 };
  const worker = new PirateWorker(process.argv[1], ([body]) => "re:" + body, options);
  worker.events.on("ready:sent", () => console.log("ready"));
  console.log("up");
`;

/** A number that a seed repeats, from 0 up to `below`. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

describe("the Pirates under fire", () => {
  it(
    `answer every request once, through ${BLOWS} kills and stops`,
    async () => {
      let queue = program(QUEUE, "tcp://127.0.0.1:*", "tcp://127.0.0.1:*");
      const frontend = await within(queue.line(), "the frontend");
      const backend = await within(queue.line(), "the backend");
      const workers = Array.from({ length: WORKERS }, () => program(WORKER, backend));
      await Promise.all(workers.map((worker) => within(worker.heard("up"), "a worker")));

      const counts = { asked: 0, answered: 0, failed: 0 };
      let over = false;
      const asking = Array.from({ length: CLIENTS }, async (_, id) => {
        const client = new PirateClient(frontend, { attemptTimeout: 1_000, retries: 20 });
        clients.push(client);
        for (let i = 0; !over; i++) {
          counts.asked += 1;
          try {
            const [reply] = await client.request(`${id}.${i}`);
            expect(String(reply), "another request's reply").toBe(`re:${id}.${i}`);
            counts.answered += 1;
          } catch (error) {
            // The queue answers a client whose request two dying workers had with an error; silence would be a fault.
            expect((error as { reason?: string }).reason).toBe("worker-lost");
            counts.failed += 1;
          }
        }
      });
      const failed = Promise.all(asking);
      failed.catch(() => undefined);

      const roll = dice(20_261_120);
      const blows = new Blows();
      while (blows.total < BLOWS) {
        const before = counts.answered;
        const index = roll(WORKERS);
        const worker = workers[index] as Child;
        const kind = roll(10);
        if (kind === 0) {
          await queue.kill("SIGKILL");
          blows.add("queue killed");
          queue = program(QUEUE, frontend, backend);
          await within(queue.line(), "the queue again", PATIENCE);
        } else if (kind < 2) {
          queue.process.kill("SIGSTOP");
          blows.add("queue stopped");
          await new Promise((resolve) => setTimeout(resolve, 50 + roll(150)));
          queue.process.kill("SIGCONT");
        } else if (kind < 6) {
          worker.process.kill("SIGSTOP");
          blows.add("worker stopped");
          await answered(counts, before + 1, failed);
          worker.process.kill("SIGCONT");
        } else {
          await worker.kill("SIGKILL");
          blows.add("worker killed");
          workers[index] = program(WORKER, backend);
          await within(workers[index].heard("up"), "a worker again", PATIENCE);
        }
        await answered(counts, before + 1, failed);
      }
      over = true;
      await within(failed, "the last requests", 30_000);
      blows.tell("pirate");
      expect(blows.total).toBe(BLOWS);
      expect(counts.answered + counts.failed).toBe(counts.asked);
      expect(counts.answered).toBeGreaterThan(BLOWS);
      expect(counts.failed).toBeLessThan(BLOWS);
    },
    LIMIT,
  );
});

/** Waits until so many were answered: work goes on. */
async function answered(
  counts: { answered: number },
  target: number,
  failed: Promise<unknown>,
): Promise<void> {
  const end = performance.now() + 2 * PATIENCE;
  while (counts.answered < target) {
    if (performance.now() > end) throw new Error(`no request was answered for ${2 * PATIENCE} ms`);
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 5))]);
  }
}
