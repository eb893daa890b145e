/** Brokers, workers and clients of Majordomo killed and stopped under load: each request ends exactly once. */
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { type Child, start } from "../process/child.js";
import { Random } from "../support/simulation/random.js";
import { BROKER, CLIENT, WORKER } from "./majordomo-programs.js";

/** Kills and stops of one run. */
const BLOWS = process.env.SHOAL_LONG === "1" ? 1_000 : 25;

/** ms after which a program is ended whatever happens. */
const LIMIT = process.env.SHOAL_LONG === "1" ? 1_800_000 : 60_000;

interface Counts {
  readonly asked: number;
  readonly answered: number;
  readonly wrong: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** A port that is free now: a broker comes back to it. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

it(
  "every request gets one reply or one error, whoever is killed or stopped",
  async () => {
    const random = new Random(Number(process.env.SHOAL_SEED ?? 1));
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const running = new Set<Child>();
    const run = async (source: string, ready: boolean): Promise<Child> => {
      const child = start(source, { args: [endpoint], limit: LIMIT });
      running.add(child);
      if (ready) await child.line();
      return child;
    };
    try {
      let broker = await run(BROKER, true);
      const workers = [await run(WORKER, true), await run(WORKER, true), await run(WORKER, true)];
      const client = await run(CLIENT, true);
      let victim = await run(CLIENT, true);
      for (let blow = 0; blow < BLOWS; blow++) {
        // Load between the blows: the next is dealt when so much was asked.
        await client.heard("progress");
        const kind = random.integer(0, 9);
        const index = random.integer(0, workers.length - 1);
        const worker = workers[index] as Child;
        if (kind < 5) {
          await worker.kill();
          running.delete(worker);
          workers[index] = await run(WORKER, true);
        } else if (kind < 7) {
          worker.process.kill("SIGSTOP");
          await client.heard("progress");
          worker.process.kill("SIGCONT");
        } else if (kind < 8) {
          broker.process.kill("SIGSTOP");
          await new Promise((resolve) => setTimeout(resolve, random.integer(50, 400)));
          broker.process.kill("SIGCONT");
        } else if (kind < 9) {
          await victim.kill();
          running.delete(victim);
          victim = await run(CLIENT, true);
        } else {
          await broker.kill();
          running.delete(broker);
          broker = await run(BROKER, true);
        }
      }
      client.tell("stop");
      let line = await client.line();
      while (!line.startsWith("{")) line = await client.line();
      const counts = JSON.parse(line) as Counts;
      const errors = Object.values(counts.errors).reduce((sum, count) => sum + count, 0);
      expect(counts.wrong, "replies to another request").toBe(0);
      expect(counts.answered + errors, "requests that ended").toBe(counts.asked);
      // Workers live all the time, and a broker comes back: nothing needs to fail.
      expect(counts.errors).toEqual({});
      expect(counts.answered).toBeGreaterThan(100 * BLOWS);
    } finally {
      for (const child of running) {
        child.process.kill("SIGCONT");
        await child.kill();
      }
    }
  },
  LIMIT,
);
