/**
 * Moves messages from one socket to another: the loop of every proxy and of the last value cache.
 *
 *   from --take--> check --> offer --> to --> capture
 *     ^                        | mute: the message waits, and nothing is taken meanwhile
 *     +------------------------+
 *
 * Messages pass in undecoded batches (relay.ts) if both engines can and no hook needs each message. Only those in
 * flight are held here.
 *
 * The gate:
 *
 *   open ---- pause ---> paused    the message in flight waits, too
 *     ^------ resume ------|
 *   open ---- finish(n) -> takes n more messages, then ends
 */
import { ClosedError } from "../core/errors.js";
import { TurnBudget } from "../core/turn-budget.js";
import { byteLengthOf } from "./message.js";
import { type FrameBatch, Relay, type RelayFilter } from "./relay.js";
import type { Socket } from "./socket.js";

export type ProxySide = "frontend" | "backend";

export interface PumpCounts {
  /** Bytes of messages for which `to` had no peer. */
  lostBytes: number;
  /** Messages dropped by the check (per verdict), failed, or in flight at the end (`stopped`). */
  readonly dropped: Record<string, number>;
}

export interface PumpEffects extends RelayFilter {
  /** Returns `pass` or the reason for a drop; must also drop what `filter` removes. Default: all pass. */
  readonly check?: ((frames: readonly Buffer[]) => string) | undefined;
  /** Whether a batch needs the check message by message. Default: always, with a `check`. */
  readonly needsInspection?: ((batch: FrameBatch) => boolean) | undefined;
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

export class Pump {
  readonly counts: PumpCounts = { lostBytes: 0, dropped: { failed: 0 } };
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #relay: Relay;
  readonly #effects: PumpEffects;
  readonly #batches: boolean;
  #open = true;
  #ended = false;
  #quota = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  readonly #budget = new TurnBudget();
  #onResume: (() => void) | undefined = undefined;
  #onThrottle: (() => void) | undefined = undefined;
  #unchecked: Buffer[][] = [];

  /** Requires that nothing else receives from `from`. */
  constructor(from: Socket, to: Socket, effects: PumpEffects) {
    this.#from = from;
    this.#to = to;
    this.#effects = effects;
    this.#relay = new Relay(from, to, effects);
    const { check, capture, needsInspection } = effects;
    this.#batches =
      capture === undefined && (check === undefined || needsInspection !== undefined) && this.#relay.batches;
  }

  get inFlight(): number {
    return this.#batched + this.#inFlight;
  }

  get #batched(): number {
    return this.#relay.inFlight + this.#unchecked.length;
  }

  get quota(): number {
    return this.#quota;
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
    this.#onThrottle?.();
  }

  /** Takes at most this many messages, then ends. */
  finish(messages: number): void {
    if (this.#quota !== Number.POSITIVE_INFINITY) return;
    this.#quota = messages;
    this.#endWait(); // The loop then checks the quota.
  }

  /** A message that waits for room is dropped when its socket closes. */
  end(): void {
    this.#ended = true;
    this.#endWait();
    this.#wake();
  }

  /** Never rejects. */
  async run(): Promise<void> {
    await this.#passAll();
    if (this.inFlight > 0) this.counts.dropped.stopped = this.inFlight;
  }

  async #passAll(): Promise<void> {
    while (!this.#ended && (this.#quota > 0 || this.#batched > 0)) {
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
      await this.#resumed();
      if (this.#ended) return;
    }
    if (this.#batches) return this.#passBatches();
    if (this.#isThrottled) return this.#waitForThrottle();
    while (this.#open && !this.#ended && this.#quota > 0 && !this.#isThrottled) {
      const message = this.#relay.take();
      if (message === undefined) return this.#relay.readable();
      this.#quota -= 1;
      this.#effects.throttle?.spend(1, byteLengthOf(message));
      if (!this.#pass(message)) await this.#waitForRoom(message);
      if (this.#budget.spend()) return eventLoopTurn();
    }
  }

  async #passBatches(): Promise<void> {
    const relay = this.#relay;
    const message = this.#unchecked.shift();
    if (message !== undefined) {
      if (!this.#pass(message)) await this.#waitForRoom(message);
      return;
    }
    if (relay.inFlight === 0 && this.#isThrottled) return this.#waitForThrottle();
    const { throttle } = this.#effects;
    const most = Math.min(MAX_TURN, this.#quota, throttle?.messages ?? MAX_TURN);
    const mostBytes = Math.min(MAX_TURN_BYTES, throttle?.bytes ?? MAX_TURN_BYTES);
    const { taken, bytes, lostBytes, stopReason } = relay.move(most, mostBytes);
    this.#quota -= taken;
    throttle?.spend(taken, bytes);
    this.counts.lostBytes += lostBytes;
    if (stopReason === "mute") await relay.writable();
    else if (stopReason === "inspect") this.#unchecked = relay.takeDecoded();
    else if (stopReason === "enough") await eventLoopTurn();
    else await relay.readable();
  }

  get #isThrottled(): boolean {
    return this.#effects.throttle?.messages === 0;
  }

  /** The timer keeps the process alive, since a waiting proxy has work left. */
  async #waitForThrottle(): Promise<void> {
    const { throttle } = this.#effects;
    if (throttle === undefined) return;
    if (this.#relay.hasMessages) throttle.held();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, throttle.wait);
      this.#onThrottle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onThrottle = undefined;
  }

  #endWait(): void {
    this.#onThrottle?.();
    this.#relay.endReadable();
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
    const before = this.#relay.undeliverable;
    if (!this.#relay.trySend(message)) return false;
    this.#inFlight = 0;
    if (this.#relay.undeliverable !== before) this.counts.lostBytes += byteLengthOf(message);
    if (capture !== undefined) capture(message);
    return true;
  }

  async #waitForRoom(message: Buffer[]): Promise<void> {
    await this.#relay.send(message);
    this.#inFlight = 0;
    this.#effects.capture?.(message);
  }

  #resumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onResume = resolve;
    });
  }

  #wake(): void {
    this.#onResume?.();
    this.#onResume = undefined;
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
