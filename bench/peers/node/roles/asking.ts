/**
 * Client of a broker: keeps requests in flight, or sends them on schedule. It is shared by patterns and plain
 * sockets, so that both check and count alike.
 */
import { performance } from "node:perf_hooks"; // The global one is a getter, which takes longer than the clock.
import { Bodies } from "../../../bodies.js";
import { OnceChecker, sumOfChecksums } from "../../../sequences.js";
import { Latencies } from "../histogram.js";
import type { Outcome, Side } from "../side.js";
import { Ticker } from "./ticker.js";

/** Sends one request, and waits for its reply. */
export type RoundTrip = (body: Buffer) => Promise<Uint8Array>;

/** Clients with one request in flight each. Count and warm-up are those of one client. */
export async function askInTurn(side: Side, clients: readonly RoundTrip[]): Promise<void> {
  const checkers = clients.map(() => side.checker());
  const latencies = new Latencies(clients.length * side.count);
  const bodies = new Bodies(side.size);
  const warm = clients.length * side.warmup;
  const half = warm >> 1;
  let replies = 0;
  await side.ready();
  const work = async (ask: RoundTrip, at: number) => {
    for (let k = 0; k < side.warmup + side.count; k++) {
      const message = bodies.make(k);
      const from = process.hrtime.bigint();
      const reply = await ask(message);
      const nanoseconds = Number(process.hrtime.bigint() - from);
      checkers[at]?.take(reply);
      latencies.record(nanoseconds);
      replies += 1;
      if (replies === half || replies === warm) side.begin(replies === half);
    }
  };
  await Promise.all(clients.map(work));
  side.end();
  const messages = clients.length * side.count;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map(({ checksum }) => checksum)),
    ordered: checkers.every(({ ordered }) => ordered),
    latency: latencies.table,
  });
}

/** Sends requests. The reply to each comes to `onReply`, in any order. */
export interface Asker {
  /** Whether it copies the body within `ask`. Default: it keeps the body. */
  readonly copies?: boolean;
  /** Sends request k without waiting. An error is thrown as uncaught, which ends the side. */
  ask(k: number, body: Buffer): void;
  onReply: (reply: Buffer) => void;
  close(): Promise<unknown>;
}

/** Exchanges with all numbers: sent times, replies and latencies. */
class Exchanges {
  readonly #side: Side;
  readonly #asker: Asker;
  readonly #warmup: number;
  readonly #bodies: Bodies;
  readonly #checker: OnceChecker;
  readonly #latencies: Latencies;
  readonly #left: Float64Array;
  sent = 0;
  received = 0;
  /** Called after each reply. */
  next: () => void = () => undefined;

  constructor(side: Side, asker: Asker, warmup = side.warmup, count = side.count) {
    this.#side = side;
    this.#asker = asker;
    this.#warmup = warmup;
    this.#bodies = new Bodies(side.size);
    this.#checker = new OnceChecker(side.size, warmup, count);
    this.#left = new Float64Array(warmup + count);
    this.#latencies = new Latencies(count);
    asker.onReply = (reply) => this.#take(reply);
  }

  /** @param at when it is sent, or was due, by `performance`'s clock */
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
    this.#latencies.record((performance.now() - (this.#left[k] as number)) * 1e6);
    this.received += 1;
    const warmup = this.#warmup;
    if (this.received === warmup >> 1 || this.received === warmup) this.#side.begin(this.received !== warmup);
    this.next();
  }
}

/** Keeps `window` requests in flight until `total` were answered. */
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

/** Most requests of the first work: cold code takes a second for them. */
const FIRST = 4_000;
/** ms of work after which it is not doubled again. */
const LONG_ENOUGH = 2_000;
const STEADY = 1.05;

/**
 * Doubles the requests of some work until they are at most 5 % faster than half of them, or take 2 s.
 *
 * @param work does this many, and returns the ms that they took
 */
export async function untilSteady(first: number, work: (requests: number) => Promise<number>): Promise<void> {
  let before = Number.POSITIVE_INFINITY;
  for (let requests = Math.min(FIRST, Math.max(1, first)); ; requests *= 2) {
    const time = await work(requests);
    if ((time / requests) * STEADY >= before || time >= LONG_ENOUGH) return;
    before = time / requests;
  }
}

/**
 * Sends a request for each reply, with `window` in flight. It is ready when its rate is steady: the processes of ten
 * thousand workers need ten times the warm-up of a hundred.
 */
export async function askPipelined(side: Side, asker: Asker): Promise<void> {
  const window = side.number("window", 1);
  await untilSteady(side.warmup >> 2, async (requests) => {
    const from = performance.now();
    await inWindow(new Exchanges(side, asker, 0, requests), window, requests);
    return performance.now() - from;
  });
  const exchanges = new Exchanges(side, asker);
  await side.ready();
  await inWindow(exchanges, window, side.warmup + side.count);
  side.end();
  await side.done(exchanges.outcome());
  await asker.close();
}

/**
 * Open loop: request k is due at k / rate, whatever happened to earlier ones, and its latency counts from then. The
 * rate `half` is half of the rate of answers in the third quarter of the warm-up. The last quarter already follows
 * the schedule, since rarely executed code is compiled late.
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
