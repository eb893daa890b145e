/**
 * Brokers, workers and clients of Majordomo killed and stopped under load: each request ends exactly once, and reaches
 * a handler again only where a worker or a broker was lost with it.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Random } from "../../src/testing/random.js";
import { within } from "../contract/support/wait.js";
import { freePort } from "../support/ports.js";
import { SEEDS_NOW } from "../support/seed.js";
import { Blows, PATIENCE } from "./blows.js";
import { BROKER, CLIENT, CONCURRENCY, LANES, WORKER } from "./majordomo-programs.js";
import { type Victim, Victims } from "./victims.js";

const BLOWS = 200;

/** ms after which a program is ended whatever happens. */
const LIMIT = 1_800_000;

const WORKERS = 4;

/** ms that a stop lasts at most: of a worker long enough to be taken for dead, of a broker and a client not. */
const LONGEST = { worker: 900, other: 300 } as const;

interface Counts {
  readonly asked: number;
  readonly answered: number;
  readonly wrong: number;
  readonly errors: Readonly<Record<string, number>>;
}

let folder: string;
const victims = new Victims(LIMIT);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "shoal-majordomo-"));
});
afterEach(async () => {
  await victims.end();
  rmSync(folder, { recursive: true, force: true });
});

/** How often each request reached a handler, and how often within one worker process. */
function handled(): { requests: number; again: number; againInOne: number } {
  const all = new Map<string, number>();
  let againInOne = 0;
  for (const file of readdirSync(folder)) {
    const lines = readFileSync(join(folder, file), "utf8").split("\n").slice(0, -1);
    againInOne += lines.length - new Set(lines).size;
    for (const line of lines) all.set(line, (all.get(line) ?? 0) + 1);
  }
  let again = 0;
  for (const times of all.values()) again += times - 1;
  return { requests: all.size, again, againInOne };
}

it(
  `every request gets one reply or one error through ${BLOWS} kills and stops`,
  async () => {
    const random = new Random(SEEDS_NOW.base);
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const broker = victims.start(BROKER, endpoint);
    await broker.ready;
    const workers = Array.from({ length: WORKERS }, () => victims.start(WORKER, endpoint, folder));
    const other = victims.start(CLIENT, endpoint);
    const client = victims.start(CLIENT, endpoint);
    await Promise.all([...workers, other, client].map((victim) => victim.ready));
    const blows = new Blows();
    /** Workers that are killed or stopped at the moment; the others carry on with the load. */
    const down = new Set<Victim>();
    const failures: unknown[] = [];
    const hit = (worker: Victim, blow: () => Promise<unknown>) => {
      down.add(worker);
      blow()
        .catch((error) => failures.push(error))
        .finally(() => down.delete(worker));
    };
    while (blows.total < BLOWS) {
      // Load between the blows: the next is dealt when so much was asked.
      await within(client.child.heard("progress"), "progress of the client", 4 * PATIENCE);
      const up = workers.filter((worker) => !down.has(worker));
      const kind = random.integer(0, 19);
      const pause = random.integer(20, LONGEST.other);
      if (kind < 14 && up.length > 1) {
        const worker = random.pick(up);
        if (kind < 5) {
          hit(worker, async () => {
            await worker.kill();
            await worker.ready;
          });
          blows.add("worker killed");
        } else {
          hit(worker, () => worker.stop(random.integer(20, LONGEST.worker)));
          blows.add("worker stopped");
        }
      } else if (kind < 16) {
        await broker.stop(pause);
        blows.add("broker stopped");
      } else if (kind < 18) {
        await client.stop(pause);
        blows.add("client stopped");
      } else if (kind < 19) {
        await other.kill();
        blows.add("client killed");
      } else {
        await broker.kill();
        blows.add("broker killed");
        await broker.ready;
      }
    }
    client.child.tell("stop");
    let line = await client.child.line();
    while (!line.startsWith("{")) line = await client.child.line();
    const counts = JSON.parse(line) as Counts;
    blows.tell("majordomo");
    const { requests, again, againInOne } = handled();
    console.info(
      `majordomo: ${requests} requests handled, ${again} again, ${againInOne} of them by one worker`,
    );
    const errors = Object.values(counts.errors).reduce((sum, count) => sum + count, 0);
    expect(failures).toEqual([]);
    expect(blows.total).toBe(BLOWS);
    expect(counts.wrong, "replies to another request").toBe(0);
    expect(counts.answered + errors, "requests that ended").toBe(counts.asked);
    // Workers live all the time, and a broker comes back: nothing needs to fail.
    expect(counts.errors).toEqual({});
    expect(counts.answered).toBeGreaterThan(50 * BLOWS);
    // At least once: again only what was in the hands of a worker that was lost, or under way through a lost broker.
    const lostWithWorkers = CONCURRENCY * blows.of("worker");
    const lostWithBrokers = 2 * LANES * blows.of("broker");
    expect(again, "requests handled again").toBeLessThanOrEqual(lostWithWorkers + lostWithBrokers);
    expect(againInOne, "requests handled again by the same worker").toBeLessThanOrEqual(lostWithBrokers);
  },
  LIMIT,
);
