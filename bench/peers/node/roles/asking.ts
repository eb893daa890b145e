/**
 * The client of a broker: keeps requests under way, or sends them on schedule. Written once for a pattern's client
 * and for plain sockets, so that both check and count the same.
 */
import { performance } from "node:perf_hooks"; // The global one is a getter, which takes longer than the clock.
import { Bodies } from "../../../bodies.js";
import { OnceChecker } from "../../../sequences.js";
import { Latencies } from "../histogram.js";
import type { Outcome, Side } from "../side.js";
import { Ticker } from "./ticker.js";

/** What can ask. The reply to each request comes to `onReply`, in any order. */
export interface Asker {
  /** Whether it copies the body within `ask`. Absent: the body is its own. */
  readonly copies?: boolean;
  /** Sends request k; does not wait. What fails is thrown where nobody catches it: it ends the side. */
  ask(k: number, body: Buffer): void;
  onReply: (reply: Buffer) => void;
  close(): Promise<unknown>;
}

/** One exchange after the other through all numbers: what came, when it left, and how long it took. */
class Exchanges {
  readonly #side: Side;
  readonly #asker: Asker;
  readonly #bodies: Bodies;
  readonly #checker: OnceChecker;
  readonly #latencies = new Latencies();
  readonly #left: Float64Array;
  sent = 0;
  received = 0;
  /** Called after each reply. */
  next: () => void = () => undefined;

  constructor(side: Side, asker: Asker) {
    this.#side = side;
    this.#asker = asker;
    this.#bodies = new Bodies(side.size);
    this.#checker = new OnceChecker(side.size, side.warmup, side.count);
    this.#left = new Float64Array(side.warmup + side.count);
    asker.onReply = (reply) => this.#take(reply);
  }

  /** @param at when it leaves, or was due, on `performance`'s clock */
  send(at: number): void {
    const k = this.sent++;
    this.#left[k] = at;
    const bodies = this.#bodies;
    this.#asker.ask(k, this.#asker.copies === true ? bodies.lend(k) : bodies.makeOwn(k));
  }

  outcome(): Outcome {
    const { count, size } = this.#side;
    const { checksum, ordered } = this.#checker;
    return { messages: count, bytes: count * size, checksum, ordered, latency: this.#latencies.table };
  }

  #take(reply: Buffer): void {
    this.#checker.take(reply);
    const k = reply.readUInt32BE(0);
    if (k >= this.#side.warmup) this.#latencies.record((performance.now() - (this.#left[k] as number)) * 1e6);
    if (++this.received === this.#side.warmup) this.#side.begin();
    this.next();
  }
}

/** Keeps `window` requests under way until `total` were answered. */
function inWindow(exchanges: Exchanges, window: number, total: number): Promise<void> {
  if (exchanges.received === total) return Promise.resolve();
  return new Promise((resolve) => {
    exchanges.next = () => {
      if (exchanges.sent < total) exchanges.send(performance.now());
      else if (exchanges.received === total) resolve();
    };
    while (exchanges.sent < Math.min(total, exchanges.received + window)) exchanges.send(performance.now());
  });
}

/** A reply for a request, `window` under way all the time. */
export async function askPipelined(side: Side, asker: Asker): Promise<void> {
  const exchanges = new Exchanges(side, asker);
  await side.ready();
  await inWindow(exchanges, side.number("window", 1), side.warmup + side.count);
  side.end();
  await side.done(exchanges.outcome());
  await asker.close();
}

/**
 * Open loop: request k is due at k / rate, whatever became of those before it, and its latency counts from when it was
 * due. The rate `half` is half of what the third quarter of the warm-up was answered with; the last quarter is on
 * schedule already, since what runs seldom is compiled late.
 */
export async function askOnSchedule(side: Side, asker: Asker): Promise<void> {
  const exchanges = new Exchanges(side, asker);
  const ticker = new Ticker();
  await ticker.ready;
  await side.ready();
  const window = side.number("window", 1);
  const [half, most] = [side.warmup >> 1, (side.warmup * 3) >> 2];
  await inWindow(exchanges, window, half);
  const from = performance.now();
  await inWindow(exchanges, window, most);
  const carried = ((most - half) / (performance.now() - from)) * 1e3;
  const rate = side.option("rate", "half") === "half" ? carried / 2 : side.number("rate", 0);
  await onSchedule(exchanges, ticker, rate, side.warmup + side.count);
  side.end();
  await side.done({ ...exchanges.outcome(), extra: { rate } });
  await asker.close();
}

async function onSchedule(exchanges: Exchanges, ticker: Ticker, rate: number, total: number): Promise<void> {
  const interval = 1e3 / rate;
  const first = exchanges.sent;
  const start = performance.now();
  const sendDue = (): void => {
    const now = performance.now();
    while (exchanges.sent < total) {
      const due = start + (exchanges.sent - first) * interval;
      if (due > now) return;
      exchanges.send(due);
    }
    ticker.stop();
  };
  await new Promise<void>((resolve) => {
    exchanges.next = () => {
      if (exchanges.received === total) resolve();
    };
    ticker.start(sendDue);
  });
}
