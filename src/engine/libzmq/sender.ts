/**
 * Sends messages to a native socket and detects whether it took them.
 *
 * A send's promise shows its result only later. So either `writable` is checked before a send (0.7 µs), or
 * the promise is inspected after it (ROUTER, STREAM, `noDrop`).
 *
 * - A REQ or REP that has just received a message can send one ("turn").
 * - A full pipe has room for half of the high-water mark once it has any: so many sends need no check ("credit").
 * - A peer may leave between check and send: the message is kept ("refused"), and nothing else is accepted
 *   until it is sent.
 *
 * An empty message only waits until the socket is writable (`wantWritable`).
 */

import { type InspectOptions, inspect } from "node:util";
import { copyOf } from "../../core/bytes.js";
import { RingBuffer } from "../../core/collections/queues.js";
import { ignore } from "../../core/waiter.js";
import { OfferResult, type OutgoingMessage } from "../engine.js";
import type { NativeSocket } from "./native.js";

/** ms of one native wait for room, which a first bind or connect over inproc may not wake. */
const SLICE = 50;
/** ms between checks of an XPUB with `noDrop`, which always seems writable. */
const NO_DROP_RETRY = 1;
const MAX_CREDIT = 256;

/** Programs can change inspect's defaults. */
const LOOK: InspectOptions = {
  compact: 3,
  breakLength: 80,
  colors: false,
  customInspect: false,
  showHidden: false,
};
const SENT = /^[^{]*\{\s+undefined\b/;
/** Async hooks, and AsyncLocalStorage before Node.js 24, add this property to promises. */
const HOOKED = "[Symbol(async_id_symbol)]";

/** `inspect` alone shows synchronously whether a promise is fulfilled (0.7 µs). */
function isSent(sent: Promise<void>): boolean {
  return SENT.test(inspect(sent, { ...LOOK, depth: 0 }));
}

function isUnroutable(sent: Promise<void>): boolean {
  const [state = ""] = inspect(sent, { ...LOOK, depth: 1 }).split(HOOKED, 1);
  return state.includes("EHOSTUNREACH");
}

export type SendMode =
  /** PUSH, DEALER, REQ, REP, PAIR: wait for room, or their turn. */
  | "waits"
  /** PUB, XPUB, XSUB: libzmq drops messages for a full peer. */
  | "drops"
  /** ROUTER, STREAM: refuse messages for an unknown or full peer. */
  | "routes"
  /** XPUB with `noDrop`: refuses a message if any peer is full. */
  | "looks";

export class Sender {
  readonly #native: NativeSocket;
  readonly #notify: () => void;
  readonly #refused = new RingBuffer<OutgoingMessage>();
  readonly #mostCredit: number;
  #maxCredit = 0;
  #mode: SendMode;
  #credit = 0;
  #waiting = false;
  #closed = false;

  /** @param mostCredit most unchecked sends; 0 for REQ and REP */
  constructor(
    native: NativeSocket,
    mode: SendMode,
    highWaterMark: number,
    notify: () => void,
    mostCredit = MAX_CREDIT,
  ) {
    this.#native = native;
    this.#mode = mode;
    this.#mostCredit = mostCredit;
    this.#notify = notify;
    this.highWaterMark = highWaterMark;
  }

  set highWaterMark(highWaterMark: number) {
    this.#maxCredit = Math.min(this.#mostCredit, highWaterMark >> 1);
    this.#credit = Math.min(this.#credit, this.#maxCredit);
  }

  get queued(): number {
    return this.#refused.length;
  }

  /** See `Receiver.busy`. */
  get waiting(): boolean {
    return this.#waiting;
  }

  get writable(): boolean {
    return this.#refused.length === 0 && this.#native.writable;
  }

  set mode(mode: SendMode) {
    this.#mode = mode;
  }

  turn(): void {
    this.#credit = 1;
  }

  /** @param copies the program keeps the memory */
  offer(message: OutgoingMessage, copies = false): OfferResult {
    switch (this.#mode) {
      case "waits": {
        if (this.#waiting || this.#refused.length > 0) return OfferResult.Mute;
        if (this.#credit === 0 && !this.#native.writable) return OfferResult.Mute;
        const own = copies ? copyOf(message) : message;
        if (this.#credit > 0) this.#credit -= 1;
        this.#native.send(own).catch(() => this.#keep(own));
        return OfferResult.Accepted;
      }
      case "drops":
        this.#native.send(copies ? copyOf(message) : message).catch(ignore);
        return OfferResult.Accepted;
      default:
        return this.#offerAndLook(copies ? copyOf(message) : message);
    }
  }

  want(): void {
    if (this.#waiting || this.#closed) return;
    this.#waiting = true;
    if (this.#mode === "looks") {
      setTimeout(this.#nativeOnWritable, NO_DROP_RETRY);
      return;
    }
    this.#native.sendTimeout = SLICE;
    this.#native.send([]).then(this.#nativeOnWritable, this.#nativeOnWritable);
    this.#native.sendTimeout = 0;
  }

  close(): number {
    this.#closed = true;
    return this.#refused.length;
  }

  #offerAndLook(message: OutgoingMessage): OfferResult {
    // libzmq silently drops a routing id without further frames.
    if (this.#mode === "routes" && !(Array.isArray(message) && message.length > 1))
      return OfferResult.Unroutable;
    const sent = this.#native.send(message);
    if (isSent(sent)) return OfferResult.Accepted;
    sent.catch(ignore);
    if (isUnroutable(sent)) return OfferResult.Unroutable;
    return this.#mode === "looks" ? OfferResult.Mute : OfferResult.PeerFull;
  }

  #taken(message: OutgoingMessage): boolean {
    const sent = this.#native.send(message);
    if (isSent(sent)) return true;
    sent.catch(ignore);
    return false;
  }

  #keep(message: OutgoingMessage): void {
    this.#credit = 0;
    this.#refused.push(message);
    this.want();
  }

  #nativeOnWritable = (): void => {
    this.#waiting = false;
    if (this.#closed) return;
    if (!this.#resend()) {
      this.want();
      return;
    }
    // The wait may have ended by its slice only.
    this.#credit = this.#mode === "waits" && this.#native.writable ? this.#maxCredit : 0;
    this.#notify();
  };

  #resend(): boolean {
    for (let message = this.#refused.peek(); message !== undefined; message = this.#refused.peek()) {
      if (!this.#taken(message)) return false;
      this.#refused.shift();
    }
    return true;
  }
}
