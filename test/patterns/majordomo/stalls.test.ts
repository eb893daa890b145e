/** Brokers, workers and clients that stand still for longer than others believe in them: nobody waits for what was dropped. */
import { expect } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { LONG } from "../../support/long.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ seed: 2, long: 200, network: { latency: [1, 10] } });

const HEARTBEAT = { heartbeatInterval: 200 };
const BROKERS = ["b0", "b1"];
const WORKERS = ["w0", "w1", "w2", "w3"];
const CLIENTS = ["c0", "c1", "c2", "c3"];
const STALLS = LONG ? 60 : 30;
/** ms of a stall at most. */
const LONGEST = 2_500;
/** More than the brokers that a request may lose, or be forgotten by, in a run: each costs one. Its workers are as many at most. */
const RETRIES = STALLS;
const ATTEMPT = 20_000;
const TIMEOUT = ATTEMPT * (RETRIES + 1);

it("no request waits until its attempt is over when peers stand still", async (world) => {
  const late: string[] = [];
  let isOver = false;
  let answered = 0;
  let done = 0;
  for (const name of BROKERS)
    world.node(name).start(async () => {
      await new MajordomoBroker({ ...HEARTBEAT, maxDeliveries: STALLS + 1 }).bind("tcp://*:5555");
    });
  for (const [at, name] of WORKERS.entries())
    world.node(name).start(() => {
      const work = async ([text]: readonly Buffer[]) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return String(text);
      };
      new MajordomoWorker(`tcp://${BROKERS[at % 2]}:5555`, "echo", work, HEARTBEAT);
    });
  for (const [at, name] of CLIENTS.entries())
    world.node(name).start(async () => {
      const brokers = [BROKERS[at % 2], BROKERS[(at + 1) % 2]].map((broker) => `tcp://${broker}:5555`);
      const client = new MajordomoClient(brokers, HEARTBEAT);
      for (let k = 0; !isOver; k++) {
        const from = performance.now();
        await client.request("echo", `${name}.${k}`, { timeout: TIMEOUT, retries: RETRIES });
        const took = performance.now() - from;
        answered += 1;
        if (took >= ATTEMPT) late.push(`${name}.${k} after ${took} ms`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      done += 1;
    });
  for (let i = 0; i < STALLS; i++) {
    await world.advance(world.random.integer(20, 600));
    const name = world.random.pick([...BROKERS, ...WORKERS, ...CLIENTS]);
    world.node(name).stall(world.random.integer(100, LONGEST));
  }
  isOver = true;
  await world.until(() => done === CLIENTS.length, TIMEOUT);
  expect(late).toEqual([]);
  expect(answered).toBeGreaterThan(100);
});
