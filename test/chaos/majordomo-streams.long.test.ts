/**
 * Answers in pieces while brokers, workers and clients are killed, stopped and closed: each is whole and in order, or its
 * reader gets an error. The reader knows how many pieces it asked for, and breaks off some answers itself.
 */
import { afterEach, expect, it } from "vitest";
import { Random } from "../../src/testing/random.js";
import { within } from "../contract/support/wait.js";
import { freePort } from "../support/ports.js";
import { SEEDS_NOW } from "../support/seed.js";
import { Blows, PATIENCE } from "./blows.js";
import { BROKER, STREAM_CLIENT, STREAM_WORKER } from "./majordomo-programs.js";
import { Victims } from "./victims.js";

/** Over 10,000 answers are read meanwhile. */
const BLOWS = 100;

/** ms after which a program is ended whatever happens. */
const LIMIT = 1_800_000;

const WORKERS = 3;

interface Counts {
  readonly asked: number;
  readonly whole: number;
  readonly left: number;
  readonly short: number;
  readonly wrong: number;
  readonly errors: Readonly<Record<string, number>>;
}

const victims = new Victims(LIMIT);

afterEach(() => victims.end());

it(
  `an answer in pieces that ends without an error is whole, through ${BLOWS} kills, stops and closes`,
  async () => {
    const random = new Random(SEEDS_NOW.base);
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const broker = victims.start(BROKER, endpoint);
    await broker.ready;
    const workers = Array.from({ length: WORKERS }, () => victims.start(STREAM_WORKER, endpoint));
    const client = victims.start(STREAM_CLIENT, endpoint);
    await Promise.all([...workers, client].map((victim) => victim.ready));
    const blows = new Blows();
    while (blows.total < BLOWS) {
      await within(client.child.heard("progress"), "progress of the client", 4 * PATIENCE);
      const worker = random.pick(workers);
      const kind = random.integer(0, 11);
      if (kind < 3) {
        await worker.kill();
        blows.add("worker killed");
      } else if (kind < 6) {
        await worker.kill("SIGTERM");
        blows.add("worker closed");
      } else if (kind < 8) {
        await worker.stop(random.integer(20, 900));
        blows.add("worker stopped");
      } else if (kind < 9) {
        await broker.kill();
        await broker.ready;
        blows.add("broker killed");
      } else if (kind < 10) {
        await broker.stop(random.integer(20, 900));
        blows.add("broker stopped");
      } else {
        await client.stop(random.integer(20, 900));
        blows.add("client stopped");
      }
      await worker.ready;
    }
    client.child.tell("stop");
    let line = await client.child.line();
    while (!line.startsWith("{")) line = await client.child.line();
    const counts = JSON.parse(line) as Counts;
    console.info(`${blows}; ${line}`);
    const errors = Object.values(counts.errors).reduce((sum, count) => sum + count, 0);
    expect(counts.short, "answers that end early without an error").toBe(0);
    expect(counts.wrong, "pieces out of order, twice, or too many").toBe(0);
    expect(counts.whole + counts.left + errors).toBe(counts.asked);
    expect(errors, "answers that were broken off").toBeGreaterThan(0);
    expect(counts.whole).toBeGreaterThan(10 * BLOWS);
  },
  LIMIT,
);
