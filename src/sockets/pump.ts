/**
 * Moves messages from one socket to another without codecs: the loop of every proxy and of the last value cache.
 *
 *   from --take--> check --> offer --> to --> capture
 *     ^                        | mute: the message waits, and nothing is taken meanwhile
 *     +------------------------+
 *
 * Messages pass in undecoded batches, without an object each, if both engines can and no hook needs each message:
 *
 *   from.engine --takeBatch--> at most one batch in flight --offerBatch--> to.engine
 *
 * The gate:
 *
 *   open ---- pause ---> paused    the message in flight waits, too
 *     ^------ resume ------|
 *   open ---- finish(n) -> takes n more messages, then ends
 */

import { ClosedError } from "../core/errors.js";
import { TurnBudget } from "../core/turn-budget.js";
import { ignore } from "../core/waiter.js";
import { OfferResult, type RelaySink, type RelaySource } from "../engine/engine.js";
import { messageBytes } from "../engine/frame.js";
import type { FrameBatch } from "../engine/frame-batch.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";

export type ProxySide = "frontend" | "backend";

export interface PumpCounts {
  /** Bytes of messages for which `to` had no peer. */
  lostBytes: number;
  /** Messages dropped by the check (per verdict), failed, or in flight at the end (`stopped`). */
  readonly dropped: Record<string, number>;
}

export interface PumpEffects {
  /** Returns `pass` or the reason for a drop; must also drop what `filter` removes. Default: all pass. */
  readonly check?: ((frames: readonly Buffer[]) => string) | undefined;
  /** Whether a batch needs the check message by message. Default: always, with a `check`. */
  readonly needsInspection?: ((batch: FrameBatch) => boolean) | undefined;
  /** Removes messages that must not pass from a batch; `undefined`: all. */
  readonly filter?: ((batch: FrameBatch) => FrameBatch | undefined) | undefined;
  readonly throttle?: PumpThrottle | undefined;
  /** Gets each passed message. */
  readonly capture?: ((frames: Buffer[]) => void) | undefined;
  refused(verdict: string, frames: readonly Buffer[]): void;
  /** Reports a message dropped by an unexpected error. */
  failed(error: unknown): void;
}

export interface PumpThrottle {
  readonly messages: number;
  readonly bytes: number;
  /** ms until a message may be taken. */
  readonly wait: number;
  spend(messages: number, bytes: number): void;
  /** Reports that messages have to wait. */
  held(): void;
}

const MAX_TURN = 4_000;
/** Bytes per turn; one batch may exceed them. */
const MAX_TURN_BYTES = 1_048_576;
/** Lets many peers take turns. */
const MAX_BATCH_MESSAGES = 1_000;
const FOREVER = { timeout: -1 } as const;

export class Pump {
  readonly counts: PumpCounts = { lostBytes: 0, dropped: { failed: 0 } };
  readonly #from: SocketCore;
  readonly #to: SocketCore;
  readonly #effects: PumpEffects;
  /** Both or neither: without them, messages pass one by one. */
  readonly #source: RelaySource | undefined;
  readonly #sink: RelaySink | undefined;
  #open = true;
  #ended = false;
  /** Messages that may still be taken. */
  quota = Number.POSITIVE_INFINITY;
  #batch: FrameBatch | undefined = undefined;
  /** Of the whole batch, counted once it has passed. */
  #batchBytes = 0;
  #unchecked: Buffer[][] = [];
  #inFlight = 0;
  readonly #budget = new TurnBudget();
  /** Ends a wait for the gate or the throttle. */
  #wake: () => void = ignore;

  /** Requires that nothing else receives from `from`. */
  constructor(from: Socket, to: Socket, effects: PumpEffects) {
    this.#from = from[CORE];
    this.#to = to[CORE];
    this.#effects = effects;
    const { check, capture, needsInspection } = effects;
    const { relaySource } = this.#from.engine;
    const { relaySink } = this.#to.engine;
    if (capture !== undefined || (check !== undefined && needsInspection === undefined)) return;
    if (relaySource === undefined || relaySink === undefined) return;
    this.#source = relaySource;
    this.#sink = relaySink;
  }

  get inFlight(): number {
    return this.#batched + this.#inFlight;
  }

  get #batched(): number {
    return (this.#batch?.messages ?? 0) + this.#unchecked.length;
  }

  /** A message without room stays in flight. */
  pause(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#endWait();
  }

  resume(): void {
    if (this.#open) return;
    this.#open = true;
    this.#wake();
  }

  /** Re-evaluates a changed throttle. */
  retry(): void {
    this.#wake();
  }

  /** Takes at most this many messages, then ends. */
  finish(messages: number): void {
    if (this.quota !== Number.POSITIVE_INFINITY) return;
    this.quota = messages;
    this.#endWait(); // The loop then checks the quota.
  }

  /** A message that waits for room is dropped when its socket closes. */
  end(): void {
    this.#ended = true;
    this.#endWait();
  }

  /** Never rejects. */
  async run(): Promise<void> {
    await this.#passAll();
    if (this.inFlight > 0) this.counts.dropped.stopped = this.inFlight;
  }

  async #passAll(): Promise<void> {
    while (!this.#ended && (this.quota > 0 || this.#batched > 0)) {
      try {
        await this.#turn();
      } catch (error) {
        // Its socket counts a message that waited for room; a closed one did not take it.
        if (!isRefused(error)) this.#inFlight = 0;
        if (this.#isOver(error)) return;
        this.counts.dropped.failed = (this.counts.dropped.failed ?? 0) + 1;
        this.#effects.failed(error);
        // Repeated errors must not starve the event loop.
        await eventLoopTurn();
      }
    }
  }

  /** Ends without messages, with a closed gate, or when the event loop has to turn. */
  async #turn(): Promise<void> {
    while (!this.#open) {
      await this.#woken();
      if (this.#ended) return;
    }
    if (this.#source !== undefined && this.#sink !== undefined)
      return this.#passBatches(this.#source, this.#sink);
    if (this.#isThrottled) return this.#waitForThrottle();
    while (this.#open && !this.#ended && this.quota > 0 && !this.#isThrottled) {
      const message = this.#from.inbox.next() as Buffer[] | undefined;
      if (message === undefined) return this.#readable();
      this.quota -= 1;
      this.#effects.throttle?.spend(1, messageBytes(message));
      if (!this.#pass(message)) await this.#waitForRoom(message);
      if (this.#budget.spend()) return eventLoopTurn();
    }
  }

  async #passBatches(source: RelaySource, sink: RelaySink): Promise<void> {
    const message = this.#unchecked.shift();
    if (message !== undefined) {
      if (!this.#pass(message)) await this.#waitForRoom(message);
      return;
    }
    if (this.#batch === undefined && this.#isThrottled) return this.#waitForThrottle();
    const { throttle } = this.#effects;
    let left = Math.min(MAX_TURN, this.quota, throttle?.messages ?? MAX_TURN);
    let leftBytes = Math.min(MAX_TURN_BYTES, throttle?.bytes ?? MAX_TURN_BYTES);
    for (;;) {
      this.#to.assertOpen(); // A closed socket never has room.
      if (this.#batch === undefined) {
        if (left <= 0 || leftBytes <= 0) return eventLoopTurn();
        if (!this.#to.engine.writable) return this.#to.whenWritable();
        const batch = source.takeBatch(Math.min(MAX_BATCH_MESSAGES, left));
        if (batch === undefined) return this.#readable();
        const bytes = bytesOf(batch);
        left -= batch.messages;
        leftBytes -= bytes;
        this.#took(batch, bytes);
        if (this.#unchecked.length > 0) return;
      } else if (this.#offer(this.#batch, sink) === OfferResult.Mute) return this.#to.whenWritable();
    }
  }

  #took(batch: FrameBatch, bytes: number): void {
    const { filter, needsInspection, throttle } = this.#effects;
    const { counters } = this.#from;
    this.quota -= batch.messages;
    throttle?.spend(batch.messages, bytes);
    counters.received += batch.messages;
    counters.bytesReceived += bytes;
    const passing = filter === undefined ? batch : filter(batch);
    if (passing !== batch) batch.release();
    if (passing === undefined) return;
    if (needsInspection?.(passing) === true) {
      this.#unchecked = passing.decode();
      return;
    }
    this.#batch = passing;
    this.#batchBytes = passing === batch ? bytes : bytesOf(passing);
  }

  #offer(batch: FrameBatch, sink: RelaySink): OfferResult {
    const before = batch.messages;
    const result = sink.offerBatch(batch);
    const refused = result === OfferResult.Unroutable || result === OfferResult.PeerFull ? 1 : 0;
    const taken = before - batch.messages;
    const { counters } = this.#to;
    counters.sent += taken;
    counters.delivered += taken - refused;
    if (refused > 0) this.#refused(result, batch.refused());
    if (batch.messages === 0) {
      counters.bytesSent += this.#batchBytes;
      this.#batch = undefined;
      batch.release();
    }
    return result;
  }

  #refused(result: OfferResult, message: Buffer[]): void {
    const reason = result === OfferResult.PeerFull ? "peer-full" : "unroutable";
    this.#to.counters.dropped[reason] += 1;
    this.#to.dropped(reason, message);
    this.counts.lostBytes += messageBytes(message);
  }

  get #isThrottled(): boolean {
    return this.#effects.throttle?.messages === 0;
  }

  /** The timer keeps the process alive, since a waiting proxy has work left. */
  async #waitForThrottle(): Promise<void> {
    const { throttle } = this.#effects;
    if (throttle === undefined) return;
    if (this.#from.engine.readable) throttle.held();
    const timer = setTimeout(() => this.#wake(), throttle.wait);
    await this.#woken();
    clearTimeout(timer);
  }

  #endWait(): void {
    this.#wake();
    this.#from.readable.end();
  }

  #pass(message: Buffer[]): boolean {
    const { check, capture } = this.#effects;
    this.#inFlight = 1;
    if (check !== undefined) {
      const verdict = check(message);
      if (verdict !== "pass") {
        const { dropped } = this.counts;
        this.#inFlight = 0;
        dropped[verdict] = (dropped[verdict] ?? 0) + 1;
        this.#effects.refused(verdict, message);
        return true;
      }
    }
    const before = this.#undeliverable;
    this.#to.assertOpen(); // A closed PUB or ROUTER would accept it.
    if (!this.#to.outbox.trySend(message)) return false;
    this.#inFlight = 0;
    if (this.#undeliverable !== before) this.counts.lostBytes += messageBytes(message);
    if (capture !== undefined) capture(message);
    return true;
  }

  /** Messages for unknown or full peers (ROUTER). */
  get #undeliverable(): number {
    const { dropped } = this.#to.counters;
    return dropped.unroutable + dropped["peer-full"];
  }

  async #waitForRoom(message: Buffer[]): Promise<void> {
    this.#to.assertOpen(); // A closed socket would let the message wait forever.
    await this.#to.outbox.send(message, FOREVER, false);
    this.#inFlight = 0;
    this.#effects.capture?.(message);
  }

  /** Settles when `from` may have messages again, after none, or at its end of the wait. @throws ClosedError `EBADF` */
  #readable(): Promise<void> {
    this.#from.assertOpen();
    return this.#from.whenReadable();
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #isOver(error: unknown): boolean {
    return this.#ended || this.#from.closed || this.#to.closed || error instanceof ClosedError;
  }
}

function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isRefused(error: unknown): boolean {
  return error instanceof ClosedError && error.code === "EBADF";
}

function bytesOf({ tally, first, messages }: FrameBatch): number {
  return tally.bodyBytes + (first === undefined ? 0 : first.length * messages);
}
