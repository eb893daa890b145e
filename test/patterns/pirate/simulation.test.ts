/**
 * Clients, queue and workers in a simulated world of kills, power cuts, resets, stops and restarts. A client gets only replies to
 * its own request; every request ends, and is answered once the faults are over and a worker lives; the queue keeps within its
 * bound; no worker has two requests at once; the counters add up.
 */
import { expect } from "vitest";
import { PirateClient, PirateQueue, PirateWorker } from "../../../src/patterns/pirate/index.js";
import { worldTest } from "../../support/world-test.js";

const it = worldTest({ runs: 8, long: 250, network: { latency: [0.1, 20] } });

const TIMES = { heartbeatInterval: 1_000, liveness: 3 };
const MAX_QUEUE = 1;
/** ms of faults, and ms of peace after them, in which every request has to be answered. */
const STORM = 20_000;
const PEACE = 300_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it("requests end with their own replies, whatever is killed, cut off or stands still", async (world) => {
  const { random } = world;
  const wrong: string[] = [];
  let queue: PirateQueue | undefined;
  let workers = 0;
  let asked = 0;
  let ended = 0;
  const open = (): void => {
    if (world.node("queue").running) return;
    world.node("queue").start(async () => {
      queue = new PirateQueue({
        ...TIMES,
        maxQueue: MAX_QUEUE,
        backendOptions: { heartbeatInterval: 1_000 },
      });
      await queue.bind("frontend", "tcp://*:5555");
      await queue.bind("backend", "tcp://*:5556");
    });
  };
  const hire = (dialect: "simple" | "paranoid" = "paranoid"): string => {
    const name = `w${++workers}`;
    world.node(name).start(() => {
      let inHand = 0;
      const handler = async ([body]: Buffer[]): Promise<string> => {
        if (++inHand > 1) wrong.push(`${name} has two requests`);
        await sleep(random.pick([1, 30, 2_000, 5_000]));
        inHand -= 1;
        return `re ${body}`;
      };
      const again = { reconnectInterval: 500, reconnectMaxInterval: 4_000 };
      new PirateWorker("tcp://queue:5556", handler, { ...TIMES, ...again, dialect });
    });
    return name;
  };
  const check = (): void => {
    if (queue === undefined || !world.node("queue").running) return;
    const { queued, busyWorkers, requests, replies, dropped } = queue.stats();
    // Each lost worker gives one back.
    expect(queued - busyWorkers, "the queue's bound").toBeLessThanOrEqual(MAX_QUEUE + crew.length);
    const over = replies + dropped.deliveries + dropped["client-left"] + dropped.closed;
    expect(requests, "the accounts").toBeGreaterThanOrEqual(over + queued);
    expect(requests, "the accounts").toBeLessThanOrEqual(over + queued + busyWorkers);
  };
  open();
  const crew = Array.from({ length: random.integer(1, 3) }, () =>
    hire(random.chance(0.8) ? "paranoid" : "simple"),
  );
  const clients = Array.from({ length: random.integer(1, 8) }, (_, at) => `c${at}`);
  for (const name of clients) {
    const requests = random.integer(1, 8);
    asked += requests;
    world.node(name).start(async () => {
      const client = new PirateClient("tcp://queue:5555", {
        attemptTimeout: 7_000,
        retries: 30,
        timeout: -1,
        retryDelay: 500,
      });
      for (let n = 0; n < requests; n++) {
        try {
          const reply = String(await client.request(`${name}.${n}`));
          if (reply !== `re ${name}.${n}`) wrong.push(`${name}.${n} got ${reply}`);
        } catch (error) {
          // The queue says so where two workers were lost with it.
          const { reason } = error as { reason?: string };
          if (reason !== "worker-lost") wrong.push(`${name}.${n}: ${error}`);
        }
        ended += 1;
        await sleep(random.integer(1, 3_000));
      }
    });
  }
  for (let i = random.integer(0, 12); i > 0; i--) {
    await world.advance(random.next() * (STORM / 12));
    check();
    const at = random.integer(0, crew.length - 1);
    const worker = crew[at] as string;
    random.pick([
      () => {
        if (world.node(worker).running)
          random.chance(0.5) ? world.node(worker).kill() : world.node(worker).crash();
        void world.advance(random.integer(10, 4_000)).then(() => {
          crew[at] = hire();
        });
      },
      () => world.node(worker).running && world.node(worker).stall(random.integer(100, 8_000)),
      () => world.reset(random.pick([worker, ...clients]), "queue"),
      () => {
        if (world.node("queue").running) world.node("queue").kill();
        void world.advance(random.integer(10, 4_000)).then(open);
      },
      () => world.node("queue").running && world.node("queue").stall(random.integer(100, 2_000)),
    ])();
  }
  await world.advance(Math.max(0, STORM - world.now));
  open();
  hire(); // One that lives, whatever the storm left.
  await world.until(() => ended === asked, PEACE);
  check();
  expect(wrong).toEqual([]);
});
