/**
 * Moves messages from one socket to another: the loop behind every proxy and the last value cache.
 *
 *   from --take--> check --> offer --> to --> capture
 *     ^                        | mute: the message waits, and nothing is taken meanwhile
 *     +------------------------+
 *
 * Where both engines can, and nothing has to see the messages, they are relayed without decoding, a batch at a time (relay.ts). Else one
 * by one, as above: a message is taken only when the last one has been passed on. Either way nothing is taken without
 * room for it except what is in flight; everything else waits in the sockets, where the high-water marks bound it and the
 * peers feel it. As long as there are messages and room, they pass within one turn of the event loop, without a promise:
 * `tryReceive` and `trySend` are synchronous, and end when the loop has to turn.
 *
 * Its gate:   open ---- pause ---> paused    the message in flight waits, too
 *               ^------ resume ------|
 *             open ---- finish(n) -> takes n more messages, then ends
 */
import { ClosedError } from "../core/errors.js";
import { byteLengthOf } from "./message.js";
import { type FrameBatch, Relay, type RelayFilter } from "./relay.js";
import type { Socket } from "./socket.js";

/** One of the two sides that messages pass between. */
export type ProxySide = "frontend" | "backend";

/** What a pump counts in addition to its sockets' counters. */
export interface PumpCounts {
  /** Bytes of messages that the other socket took and had no peer for. */
  lostBytes: number;
  /** Messages that the check dropped, by its verdict, those that failed, and those in flight when it ended (`stopped`). */
  readonly dropped: Record<string, number>;
}

/** What a pump reports, and what it asks. */
export interface PumpEffects extends RelayFilter {
  /** Of each message: `pass`, or why it is dropped. Absent: everything passes. It has to drop what `filter` takes out. */
  readonly check?: ((frames: readonly Buffer[]) => string) | undefined;
  /** Whether the messages of a batch have to be checked one by one. Absent: every message with a `check` is. */
  readonly needsInspection?: ((batch: FrameBatch) => boolean) | undefined;
  /** How much may be taken; absent: everything. */
  readonly throttle?: PumpThrottle | undefined;
  /** Gets each message that has passed; absent: messages may be relayed without decoding. */
  readonly capture?: ((frames: Buffer[]) => void) | undefined;
  /** The check dropped a message. */
  refused(verdict: string, frames: readonly Buffer[]): void;
  /** A message could not be sent for an unforeseen reason: it is dropped, and the pump goes on unless it is ended. */
  failed(error: unknown): void;
}

/** What may be taken at this moment. */
export interface PumpThrottle {
  readonly messages: number;
  readonly bytes: number;
  /** ms to wait, where no message may be taken. */
  readonly wait: number;
  spend(messages: number, bytes: number): void;
  /** Messages are there, and have to wait. */
  held(): void;
}

const FOREVER = { timeout: -1 } as const;

/** Messages that are relayed without decoding between two turns of the event loop. */
const MAX_TURN = 4_000;
/** Bytes of those, and one batch more. */
const MAX_TURN_BYTES = 1_048_576;

export class Pump {
  readonly counts: PumpCounts = { lostBytes: 0, dropped: { failed: 0 } };
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #relay: Relay;
  readonly #effects: PumpEffects;
  /** Whether messages are relayed without decoding. */
  readonly #batches: boolean;
  #open = true;
  #ended = false;
  /** Messages that may still be taken. */
  #quota = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  /** A message was asked for, and is waited for or on its way. */
  #asking = false;
  #onResume: (() => void) | undefined = undefined;
  /** Ends a wait for the throttle. */
  #onThrottle: (() => void) | undefined = undefined;
  /** Messages of a batch that have to be checked one by one. */
  #unchecked: Buffer[][] = [];

  /** Nothing else may receive from `from` meanwhile. */
  constructor(from: Socket, to: Socket, effects: PumpEffects) {
    this.#from = from;
    this.#to = to;
    this.#effects = effects;
    this.#relay = new Relay(from, to, effects);
    const { check, capture, needsInspection } = effects;
    this.#batches =
      capture === undefined && (check === undefined || needsInspection !== undefined) && this.#relay.batches;
  }

  /** Messages that were taken and not passed on. */
  get inFlight(): number {
    if (this.#batches) return this.#batched + this.#inFlight;
    // One that was asked for and is not waited for any more arrives with the next turn of the event loop.
    const onItsWay = this.#asking && this.#relay.receiving === 0;
    return onItsWay ? 1 : this.#inFlight;
  }

  /** Messages of a batch that were taken and are not passed on. */
  get #batched(): number {
    return this.#relay.inFlight + this.#unchecked.length;
  }

  /** Messages that are still to be taken, once it finishes. */
  get quota(): number {
    return this.#quota;
  }

  /** Takes no more messages. One that arrived just now stays in flight. */
  pause(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#endWait();
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    if (this.#open) return;
    this.#open = true;
    this.#wake();
  }

  /** The throttle has changed. */
  retry(): void {
    this.#onThrottle?.();
  }

  /** Takes so many messages, those that are there, and then no more. */
  finish(messages: number): void {
    if (this.#quota !== Number.POSITIVE_INFINITY) return;
    this.#quota = messages;
    this.#endWait(); // It looks at the quota, and starts again if that is not used up.
  }

  /** Takes nothing more, and ends; a message that waits for room is given up when its socket closes. */
  end(): void {
    this.#ended = true;
    this.#endWait();
    this.#wake();
  }

  /** Settles when it has ended; never rejects. */
  async run(): Promise<void> {
    await this.#passAll();
    // One that waited for room is not among them: its socket has counted it.
    if (this.inFlight > 0) this.counts.dropped.stopped = this.inFlight;
  }

  async #passAll(): Promise<void> {
    while (!this.#ended && (this.#quota > 0 || this.#batched > 0)) {
      try {
        await this.#turn();
      } catch (error) {
        // What its socket took to wait with has been counted by that; what came for one that was closed already was not taken.
        if (!isRefused(error)) this.#inFlight = 0;
        if (this.#isOver(error)) return;
        this.counts.dropped.failed = (this.counts.dropped.failed ?? 0) + 1;
        this.#effects.failed(error);
        // Whatever it is, it must not keep the event loop from turning.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  /** Moves messages until no more wait, the gate closes, or the event loop has to turn. */
  async #turn(): Promise<void> {
    while (!this.#open) {
      await this.#resumed();
      if (this.#ended) return;
    }
    if (this.#batches) return this.#passBatches();
    if (this.#isThrottled) return this.#waitForThrottle();
    let message = this.#relay.tryReceive();
    if (message === undefined) {
      message = await this.#next();
      if (message === undefined) return;
      this.#inFlight = 1;
      // It arrived at the moment of a pause.
      while (!this.#open && !this.#ended) await this.#resumed();
      if (this.#ended) return;
    }
    while (message !== undefined) {
      this.#quota -= 1;
      this.#effects.throttle?.spend(1, byteLengthOf(message));
      if (!this.#pass(message)) await this.#waitForRoom(message);
      if (!this.#open || this.#ended || this.#quota <= 0 || this.#isThrottled) return;
      message = this.#relay.tryReceive();
    }
  }

  /** Moves batches of messages without decoding them, until no more wait or the event loop has to turn. */
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
    if (stopReason === "mute") await relay.writable(FOREVER);
    else if (stopReason === "inspect") this.#unchecked = relay.takeDecoded();
    else if (stopReason === "enough") await new Promise((resolve) => setImmediate(resolve));
    else await this.#readable();
  }

  get #isThrottled(): boolean {
    return this.#effects.throttle?.messages === 0;
  }

  /** Takes nothing until the throttle allows it. The timer holds the process: a proxy that waits has work left. */
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

  async #readable(): Promise<void> {
    try {
      await this.#relay.readable(FOREVER);
    } catch (error) {
      if (this.#from.closed || !(error instanceof ClosedError)) throw error;
    }
  }

  /** @returns `undefined` when the wait was ended */
  async #next(): Promise<Buffer[] | undefined> {
    this.#asking = true;
    try {
      return await this.#relay.receive(FOREVER);
    } catch (error) {
      if (this.#from.closed || !(error instanceof ClosedError)) throw error;
      return undefined;
    } finally {
      this.#asking = false;
    }
  }

  /** Nothing else receives from its socket, so all waits there are its own. An abort signal would cost more than the wait. */
  #endWait(): void {
    this.#onThrottle?.();
    if (!this.#from.closed) this.#relay.abandon();
  }

  /** @returns whether the message was passed on or dropped */
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
    await this.#relay.send(message, FOREVER);
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

  /** Whether it failed because it is to end, or one of its sockets has. */
  #isOver(error: unknown): boolean {
    return this.#ended || this.#from.closed || this.#to.closed || error instanceof ClosedError;
  }
}

/** Whether a socket refused a message because it was closed. */
function isRefused(error: unknown): boolean {
  return error instanceof ClosedError && error.code === "EBADF";
}
