/**
 * Hands messages to a native socket, and knows whether it took them.
 *
 * The package answers each send with a promise that is settled already (the
 * socket's `sendTimeout` is 0), which says nothing until later. So a send is
 * preceded by a look at `writable` (a system call, 0.7 µs) or, where that says
 * too little (ROUTER, STREAM, `noDrop`), followed by a look at the promise.
 *
 * Three facts of libzmq spare many of the looks and keep them honest:
 *
 * - A REQ or REP that has just received a message can send one ("turn").
 * - A full pipe reports room when its peer has read half of the high-water mark,
 *   so after a wait that many sends need no look ("credit").
 * - Between the look and the send a peer may go, and its room with it. The
 *   promise is then rejected, too late to say no: the message is kept here
 *   ("refused"), and nothing else is taken until it went out.
 *
 * A message of no frames sends nothing, but waits until the socket is writable:
 * that is `wantWritable`.
 *
 * The package holds the memory of what libzmq has sent until the event loop turns.
 * A program that sends large messages without a turn would fill the high-water mark
 * with fresh memory, 1,000 times 1 MiB, however fast its peer reads: so there is no
 * room after `MAX_TURN_BYTES` in one turn, until the next ("turned").
 */

import { type InspectOptions, inspect } from "node:util";
import { isBytes } from "../../core/bytes.js";
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { OfferResult, type OutgoingFrame, type OutgoingMessage } from "../engine.js";
import { copyOf } from "../message-copy.js";
import type { NativeSocket } from "./native.js";

/** How long a wait for room stays in native code before it looks again, in ms. */
const SLICE = 50;
/** The same before the first bind or connect, which does not always wake the native wait (inproc). */
const SLICE_ALONE = 20;
/** Between two looks at an XPUB with `noDrop`, which libzmq always calls writable, in ms. */
const NO_DROP_RETRY = 1;
/** Sends without a look after a wait, at most: what may have to be kept if the peer goes. */
const MAX_CREDIT = 256;
/**
 * Bytes that are taken in one turn of the event loop, unless one message alone has more, or there is no mark. 1 and 64 MiB cost the
 * same.
 */
const MAX_TURN_BYTES = 67_108_864;
/** Bytes after which the next turn is waited for, to count again from 0: small messages do without. */
const COUNTED_BYTES = 1_048_576;

/** Nothing that a program can change for the whole process, and no code of its own. */
const LOOK: InspectOptions = {
  compact: 3,
  breakLength: 80,
  colors: false,
  customInspect: false,
  showHidden: false,
};
/** What `inspect` makes of a promise that is fulfilled with nothing. Properties of its own may follow. */
const SENT = /^[^{]*\{\s+undefined\b/;
/** Async hooks, and AsyncLocalStorage before Node.js 24, give promises this property and others after it. */
const HOOKED = "[Symbol(async_id_symbol)]";

/** Whether a promise of the package is fulfilled. `inspect` is the only way to see that without waiting (0.7 µs). */
function isSent(sent: Promise<void>): boolean {
  return SENT.test(inspect(sent, { ...LOOK, depth: 0 }));
}

function isUnroutable(sent: Promise<void>): boolean {
  const [state = ""] = inspect(sent, { ...LOOK, depth: 1 }).split(HOOKED, 1);
  return state.includes("EHOSTUNREACH");
}

/** How a socket type takes messages. */
export type SendMode =
  /** PUSH, DEALER, REQ, REP, PAIR: waits for room, or its turn. */
  | "waits"
  /** PUB, XPUB, XSUB: libzmq drops what does not fit, for that peer. */
  | "drops"
  /** ROUTER, STREAM: refuses a message whose peer is unknown or full. */
  | "routes"
  /** XPUB with `noDrop`: refuses a message that does not fit somewhere. */
  | "looks";

function ignore(): void {}

/** Bytes of memory that libzmq reads while it has the message: a text is copied. */
function bytesOf(message: OutgoingMessage): number {
  if (typeof message === "string") return 0;
  if (isBytes(message)) return message.length;
  let bytes = 0;
  for (let i = 0; i < message.length; i++) {
    const frame = message[i] as OutgoingFrame;
    if (typeof frame !== "string") bytes += frame.length;
  }
  return bytes;
}

export class Sender {
  readonly #native: NativeSocket;
  readonly #notify: () => void;
  readonly #refused = new RingBuffer<OutgoingMessage>();
  readonly #mostCredit: number;
  #maxCredit = 0;
  #mode: SendMode;
  #credit = 0;
  #maxTurnBytes = 0;
  /** Since the last turn that was waited for. */
  #turnBytes = 0;
  #counting = false;
  /** `notify` is due with the next turn. */
  #wantsTurn = false;
  #waiting = false;
  #alone = true;
  #closed = false;

  /**
   * @param notify called when `offer` may succeed again, once for each `want`
   * @param mostCredit sends without a look, at most; 0 for socket types that take turns (REQ, REP)
   */
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

  /** Holds at once: what was found out about room under another mark is forgotten. */
  set highWaterMark(highWaterMark: number) {
    this.#maxCredit = Math.min(this.#mostCredit, highWaterMark >> 1);
    this.#credit = Math.min(this.#credit, this.#maxCredit);
    // A program without a mark counts on room for everything.
    this.#maxTurnBytes = highWaterMark > 0 ? MAX_TURN_BYTES : Number.POSITIVE_INFINITY;
  }

  /** Accepted messages that libzmq has not taken yet. */
  get queued(): number {
    return this.#refused.length;
  }

  /** Whether a wait for room is in native code; see `Receiver.busy`. */
  get waiting(): boolean {
    return this.#waiting;
  }

  get writable(): boolean {
    return this.#refused.length === 0 && !this.#isTurnFull && this.#native.writable;
  }

  set mode(mode: SendMode) {
    this.#mode = mode;
  }

  /** The socket has an endpoint now. */
  attached(): void {
    this.#alone = false;
  }

  /** A REQ or REP received a message: it is this side's turn to send one. */
  turn(): void {
    this.#credit = 1;
  }

  /** @param copies the message's memory stays the program's: what is taken is copied, and what is refused is not */
  offer(message: OutgoingMessage, copies = false): OfferResult {
    switch (this.#mode) {
      case "waits": {
        if (this.#waiting || this.#refused.length > 0 || this.#isTurnFull) return OfferResult.Mute;
        if (this.#credit === 0 && !this.#native.writable) return OfferResult.Mute;
        const own = copies ? copyOf(message) : message;
        if (this.#credit > 0) this.#credit -= 1;
        this.#native.send(own).catch(() => this.#keep(own));
        this.#turnBytes += bytesOf(own);
        if (this.#turnBytes >= COUNTED_BYTES && !this.#counting) {
          this.#counting = true;
          setImmediate(this.#turned);
        }
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
    if (this.#isTurnFull && this.#refused.length === 0) {
      this.#wantsTurn = true;
      return;
    }
    this.#waiting = true;
    if (this.#mode === "looks") {
      setTimeout(this.#nativeOnWritable, NO_DROP_RETRY);
      return;
    }
    this.#native.sendTimeout = this.#alone ? SLICE_ALONE : SLICE;
    this.#native.send([]).then(this.#nativeOnWritable, this.#nativeOnWritable);
    this.#native.sendTimeout = 0;
  }

  /** Nothing is sent any more. @returns how many accepted messages libzmq did not take */
  close(): number {
    this.#closed = true;
    return this.#refused.length;
  }

  get #isTurnFull(): boolean {
    return this.#turnBytes >= this.#maxTurnBytes;
  }

  #turned = (): void => {
    this.#counting = false;
    this.#turnBytes = 0;
    if (!this.#wantsTurn) return;
    this.#wantsTurn = false;
    if (!this.#closed && !this.#waiting) this.#notify();
  };

  #offerAndLook(message: OutgoingMessage): OfferResult {
    // libzmq takes a routing id without anything behind it, and drops it in silence.
    if (this.#mode === "routes" && !(Array.isArray(message) && message.length > 1))
      return OfferResult.Unroutable;
    const sent = this.#native.send(message);
    if (isSent(sent)) return OfferResult.Accepted;
    sent.catch(ignore);
    if (isUnroutable(sent)) return OfferResult.Unroutable;
    return this.#mode === "looks" ? OfferResult.Mute : OfferResult.PeerFull;
  }

  /** Sends, and looks whether libzmq took it. */
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
    // The wait may have ended by its slice alone: then nothing is known.
    this.#credit = this.#mode === "waits" && this.#native.writable ? this.#maxCredit : 0;
    this.#notify();
  };

  /** Sends what was refused, in order. @returns whether nothing is left of it */
  #resend(): boolean {
    for (let message = this.#refused.peek(); message !== undefined; message = this.#refused.peek()) {
      if (!this.#taken(message)) return false;
      this.#refused.shift();
    }
    return true;
  }
}
