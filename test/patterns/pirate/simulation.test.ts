/**
 * Clients, queue and workers in simulated time, through loss, delay, partitions, crashes and restarts.
 *
 * Invariants: a client gets only replies to its own request; every request ends with a reply or an error; once the
 * faults are over and a worker lives, requests are answered; the queue keeps within its bound; no worker that kept to
 * the protocol has two requests at once; the counters add up.
 */
import { describe, expect, it } from "vitest";
import { QueueRules } from "../../../src/patterns/kit/queue-rules.js";
import {
  addressedFrames,
  heartbeatFrames,
  parseFromQueue,
  readyFrames,
} from "../../../src/patterns/kit/worker-protocol.js";
import { WorkerRules, workerCounts } from "../../../src/patterns/pirate/worker-rules.js";
import { Network } from "../../../src/testing/network.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const INTERVAL = 1_000;
const LIVENESS = 3;
const MAX_QUEUED = 8;
/** ms of faults, and ms of peace after them, in which every request has to be answered. */
const STORM = 20_000;
const PEACE = 300_000;

class World {
  readonly network: Network;
  answered = 0;
  failed = 0;
  silent = 0;
  asked = 0;
  /** Requests that the clients have on their lists. */
  all = 0;
  queue: QueueRules | undefined;
  readonly #timers = new Map<string, RulesTimer>();
  #names = 0;

  constructor(readonly simulation: Simulation) {
    const { random } = simulation;
    this.network = new Network(simulation, {
      delay: [0.1, random.pick([1, 20, 400])],
      loss: random.pick([0, 0.01, 0.1]),
      duplication: 0, // A connection repeats nothing.
    });
  }

  startQueue(): void {
    const { network, simulation } = this;
    const queue = new QueueRules(
      {
        heartbeatInterval: INTERVAL,
        liveness: LIVENESS,
        maxQueue: MAX_QUEUED,
        maxQueueBytes: 1_000_000,
        maxDeliveries: 2,
      },
      {
        toWorker: ([worker, ...frames]) => {
          const isThere = network.send("queue", String(worker), frames);
          if (!isThere) simulation.note(`${worker} is not there`);
          return isThere;
        },
        toClient: ([client, ...frames]) => void network.send("queue", String(client), frames),
        event: (event) => simulation.note(`queue: ${event.type}`),
      },
      simulation.now,
    );
    this.queue = queue;
    network.join("queue", (from, frames) => {
      if (from.startsWith("w")) queue.workerMessage(Buffer.from(from), frames, simulation.now);
      else if (queue.room > 0) queue.clientMessage([Buffer.from(from), ...frames], simulation.now);
      this.#check(queue);
    });
    this.#timers.set("queue", new RulesTimer(simulation, queue));
  }

  stopQueue(): void {
    this.network.crash("queue");
    this.#timers.get("queue")?.stop();
    this.queue = undefined;
  }

  /** A node's connection is gone: the queue may hear of it. */
  #left(name: string): void {
    if (this.simulation.random.chance(0.5)) {
      this.simulation.after(1, () => {
        if (name.startsWith("w")) this.queue?.workerLeft(Buffer.from(name), this.simulation.now);
        else this.queue?.clientLeft(Buffer.from(name));
      });
    }
  }

  /** A worker that lives until it is killed. @returns call it to kill it */
  startWorker(dialect: "simple" | "paranoid"): () => void {
    const { network, simulation } = this;
    let name = "";
    let timer: RulesTimer | undefined;
    const leave = (): void => {
      network.crash(name);
      this.#left(name);
    };
    let inHand = 0;
    const rules: WorkerRules = new WorkerRules(
      {
        dialect,
        heartbeatInterval: INTERVAL,
        liveness: LIVENESS,
        reconnectInterval: 500,
        reconnectMaxInterval: 4_000,
      },
      {
        open: () => {
          name = `w${++this.#names}`;
          const mine = name;
          network.join(mine, (_, frames) => {
            if (mine !== name) return;
            rules.receive(parseFromQueue(frames, dialect), simulation.now);
            timer?.update();
          });
        },
        abandon: leave,
        ready: () => void network.send(name, "queue", readyFrames(dialect)),
        heartbeat: () => {
          expect(inHand, "a worker beats while it works").toBe(0);
          network.send(name, "queue", heartbeatFrames());
        },
        handle: (address, body) => {
          inHand += 1;
          expect(inHand, "a worker has two requests").toBe(1);
          simulation.after(simulation.random.pick([1, 30, 2_000, 5_000]), () => {
            inHand -= 1;
            rules.finished(address, [Buffer.from(`re:${body.join()}`)], simulation.now);
            timer?.update();
          });
        },
        reply: (address, body) => void network.send(name, "queue", addressedFrames(dialect, address, body)),
        event: (event) => {
          simulation.note(`${name}: ${event.type}`);
          expect(event.type).not.toBe("request:dropped");
        },
      },
      () => simulation.random.next(),
      workerCounts(),
    );
    rules.start(simulation.now);
    timer = new RulesTimer(simulation, rules);
    return () => {
      rules.close();
      timer?.stop();
      leave();
    };
  }

  /** A Lazy Pirate: it asks again without a reply, from a new address. */
  startClient(requests: number, retries: number): void {
    const { network, simulation } = this;
    this.all += requests;
    const id = ++this.#names;
    let socket = "";
    let request = 0;
    const ask = (left: number): void => {
      const mine = `c${++this.#names}`;
      socket = mine;
      network.join(mine, (_, [delimiter, ...body]) => {
        if (mine !== socket) return;
        expect(delimiter?.length).toBe(0);
        const text = String(body[0]);
        if (body.length === 1) expect(text, "a reply to the wrong request").toBe(`re:${id}.${request}`);
        else expect(text).toBe("shoal.error");
        socket = "";
        network.crash(mine);
        ended(body.length === 1);
      });
      network.send(mine, "queue", [Buffer.alloc(0), Buffer.from(`${id}.${request}`)]);
      simulation.after(7_000, () => {
        if (mine !== socket) return;
        socket = "";
        network.crash(mine);
        this.#left(mine);
        if (left > 0) simulation.after(simulation.random.integer(50, 1_000), () => ask(left - 1));
        else {
          this.silent += 1;
          ended(false);
        }
      });
    };
    const next = (): void => {
      if (request === requests) return;
      request += 1;
      this.asked += 1;
      ask(retries);
    };
    const ended = (well: boolean): void => {
      if (well) this.answered += 1;
      else this.failed += 1;
      simulation.after(simulation.random.integer(1, 3_000), next);
    };
    next();
  }

  #check(queue: QueueRules): void {
    const { queued, busyWorkers, requests, replies, dropped } = queue.stats();
    expect(queued - busyWorkers, "the queue's bound").toBeLessThanOrEqual(MAX_QUEUED);
    const ended = replies + dropped.deliveries + dropped["client-left"] + dropped.closed;
    expect(requests, "the accounts").toBeGreaterThanOrEqual(ended + queued);
    expect(requests, "the accounts").toBeLessThanOrEqual(ended + queued + busyWorkers);
  }
}

describe("the Pirates' rules", () => {
  it(
    "keep their promises through crashes, cuts and loss",
    () => {
      runSchedules(
        (simulation) => {
          const { random } = simulation;
          const world = new World(simulation);
          world.startQueue();
          const kill = Array.from({ length: random.integer(1, 3) }, () =>
            world.startWorker(random.chance(0.8) ? "paranoid" : "simple"),
          );
          for (let i = random.integer(1, 4); i > 0; i--) world.startClient(random.integer(1, 4), 30);
          for (let i = random.integer(0, 4); i > 0; i--) {
            const start = random.integer(0, STORM);
            const end = Math.min(STORM, start + random.integer(10, 8_000));
            const fault = random.pick(["worker", "queue"] as const);
            if (fault === "worker") {
              const index = random.integer(0, kill.length - 1);
              simulation.at(start, () => kill[index]?.());
              simulation.at(start, () => {
                kill[index] = () => undefined;
              });
              simulation.at(end, () => {
                kill[index] = world.startWorker("paranoid");
              });
            } else {
              simulation.at(start, () => world.queue !== undefined && world.stopQueue());
              simulation.at(end, () => world.queue === undefined && world.startQueue());
            }
          }
          simulation.at(STORM, () => {
            if (world.queue === undefined) world.startQueue();
            world.network.faults = { delay: [0.1, 5], loss: 0, duplication: 0 };
            world.startWorker("paranoid"); // One that lives, whatever the storm left.
          });
          const over = (): boolean => simulation.now > STORM && world.answered + world.failed === world.all;
          while (!over() && simulation.now < STORM + PEACE) simulation.run(simulation.now + 5_000);
          expect(world.answered + world.failed, "requests that were never asked").toBe(world.all);
          expect(world.answered + world.failed, "requests that never ended").toBe(world.asked);
          // The queue notifies a client whose request was lost with two workers. Nobody is left to find out by silence.
          expect(world.silent, "requests that were never answered").toBe(0);
        },
        { count: 65 },
      );
    },
    SCHEDULES_TIMEOUT,
  );
});
