/**
 * A Black Box's rules in simulated time: bursts of messages, threads that are slow and fail, and a close at any moment,
 * as after a crash.
 *
 * Invariants: a topic's messages reach its shard's handlers in order and at most once each; every queue keeps within its
 * bounds, but for one read with `wait`; a thread has no more batches than it may; the counters add up at
 * every moment; with `wait` nothing is dropped but at close; in the end everything that waits is handled.
 */
import { it } from "vitest";
import {
  type BlackBoxFullPolicy,
  BoxRules,
  type BoxRulesOptions,
} from "../../../src/patterns/black-box/rules.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

/** ms of messages, and of peace after them. */
const STORM = 2_000;
const PEACE = 60_000;
/** Messages of a read, and more bytes than each has. */
const READ = 30;
const MOST_BYTES = 200;

interface Work {
  readonly key: number;
  readonly number: number;
}

/** A worker thread: batches one after the other, messages one after the other. */
class SimulatedThread {
  readonly #batches: { messages: Work[]; at: number; failed: number }[] = [];
  #busy = false;

  constructor(
    readonly simulation: Simulation,
    readonly handle: (work: Work) => void,
    readonly told: (failed: number) => void,
    readonly cost: number,
  ) {}

  get batches(): number {
    return this.#batches.length;
  }

  add(messages: Work[]): void {
    this.#batches.push({ messages, at: 0, failed: 0 });
    if (!this.#busy) this.#next();
  }

  /** Messages of batches that it has not reported. */
  get unreported(): number {
    return this.#batches.reduce((sum, { messages }) => sum + messages.length, 0);
  }

  #next(): void {
    const [batch] = this.#batches;
    this.#busy = batch !== undefined;
    if (batch === undefined) return;
    const { random } = this.simulation;
    const work = batch.messages[batch.at] as Work;
    this.handle(work);
    this.simulation.after(random.next() * this.cost, () => {
      if (random.chance(0.02)) batch.failed += 1;
      batch.at += 1;
      if (batch.at === batch.messages.length) {
        // Between the last message and the answer anything may happen.
        this.simulation.after(random.next(), () => {
          this.#batches.shift();
          this.told(batch.failed);
          this.#next();
        });
      } else this.#next();
    });
  }
}

class World {
  readonly rules: BoxRules;
  readonly options: BoxRulesOptions;
  readonly #threads: SimulatedThread[];
  readonly #numbers = new Map<number, number>();
  readonly #seen = new Map<number, number>();
  handled = 0;
  offered = 0;

  constructor(readonly simulation: Simulation) {
    const { random } = simulation;
    this.options = {
      shards: random.integer(1, 4),
      full: random.pick<BlackBoxFullPolicy>(["drop-newest", "drop-oldest", "wait"]),
      maxQueue: random.integer(1, 20),
      maxQueueBytes: random.pick([200, 600, 10_000]),
      maxBatch: random.integer(1, 8),
      maxBatchBytes: random.pick([1, 400, 2_000]),
      maxInFlight: random.integer(1, 3),
    };
    this.rules = new BoxRules(this.options, (shard, messages) => {
      if (messages.length > this.options.maxBatch) throw new Error(`A batch of ${messages.length}`);
      this.#threads[shard]?.add(messages.map(([, body]) => JSON.parse(String(body)) as Work));
    });
    const cost = random.pick([0.1, 2, 10]);
    this.#threads = Array.from({ length: this.options.shards }, (_, shard) => {
      const told = (failed: number): void => {
        this.rules.finished(shard, failed);
        this.check();
      };
      return new SimulatedThread(simulation, (work) => this.#handle(work), told, cost);
    });
  }

  burst(): void {
    const { random } = this.simulation;
    if (this.rules.blocked) return; // Nothing is read.
    const messages: Buffer[][] = [];
    for (let i = random.integer(1, READ); i > 0; i--) {
      const key = random.integer(0, 5);
      const number = (this.#numbers.get(key) ?? 0) + 1;
      this.#numbers.set(key, number);
      const body = JSON.stringify({ key, number }).padEnd(random.pick([0, 30, 39]));
      messages.push([Buffer.from(`${key}`), Buffer.from(body)]);
    }
    this.offered += messages.length;
    this.simulation.note(
      () => `${messages.length} messages: ${messages.map(([topic, body]) => `${topic} ${body}`).join(", ")}`,
    );
    this.rules.receive(messages);
    this.check();
  }

  close(): void {
    const unreported = this.#threads.reduce((sum, thread) => sum + thread.unreported, 0);
    this.rules.close();
    this.check();
    const { queued, lost } = this.rules.stats();
    if (queued > 0) throw new Error("Something waits in a closed Black Box");
    if (lost !== unreported) throw new Error(`${lost} lost of ${unreported}`);
  }

  check(): void {
    const { maxQueue, maxQueueBytes, maxInFlight, full } = this.options;
    const { received, shards } = this.rules.stats();
    const [more, moreBytes] = full === "wait" ? [READ, READ * MOST_BYTES] : [0, 0];
    let sum = 0;
    for (const [index, shard] of shards.entries()) {
      const dropped = Object.values(shard.dropped).reduce((total, count) => total + count, 0);
      const all = shard.handled + shard.failed + shard.queued + shard.inFlight + shard.lost + dropped;
      if (all !== shard.received) throw new Error(`Shard ${index}: ${JSON.stringify(shard)}`);
      sum += shard.received;
      if (shard.queued > maxQueue + more) throw new Error(`Shard ${index} has ${shard.queued}`);
      if (shard.queuedBytes > maxQueueBytes + moreBytes)
        throw new Error(`Shard ${index} has ${shard.queuedBytes} bytes`);
      if ((this.#threads[index]?.batches ?? 0) > maxInFlight) throw new Error(`Thread ${index} has too many`);
      if (full === "wait" && dropped > shard.dropped["too-large"] + shard.dropped.closed)
        throw new Error("wait dropped");
    }
    if (sum !== received || received !== this.offered)
      throw new Error(`${sum} of ${received}, ${this.offered}`);
    if (this.rules.blocked && full !== "wait") throw new Error(`${full} is blocked`);
  }

  #handle({ key, number }: Work): void {
    const last = this.#seen.get(key) ?? 0;
    if (number <= last) throw new Error(`Key ${key}: ${number} after ${last}`);
    this.#seen.set(key, number);
    this.handled += 1;
  }
}

function story(simulation: Simulation): void {
  const { random } = simulation;
  const world = new World(simulation);
  for (let time = 0; time < STORM; time += 1 + random.next() * 40) {
    simulation.at(time, () => world.burst());
  }
  if (random.chance(0.2)) {
    simulation.run(random.next() * STORM);
    world.close();
    return;
  }
  simulation.run(STORM);
  if (!simulation.runUntil(() => world.rules.idle, STORM + PEACE)) throw new Error("It never came to rest");
  const { handled, failed } = world.rules.stats();
  if (handled + failed !== world.handled) throw new Error(`${handled + failed} done of ${world.handled}`);
}

it("a Black Box in simulated time keeps order and bounds, and accounts for every message", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  runSchedules(story, { count: 50 });
});
