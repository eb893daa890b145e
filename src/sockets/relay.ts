/**
 * What a proxy between two sockets uses: it takes messages of one and hands them to the other, without codecs. Nobody
 * outside this folder reaches further into a socket.
 *
 *   one by one   tryReceive, receive  ->  trySend, send
 *   in batches   move: from.engine --takeEncoded--> at most one batch in flight --offerEncoded--> to.engine
 *
 * A batch is not decoded, and there is no object for each of its messages. Back-pressure: while `to` has no room, nothing is
 * taken from `from`. The batch in flight is the only memory here.
 */

import type { WaitOptions } from "../core/waiter.js";
import { type EncodedMessages, framesBetween } from "../engine/encoded.js";
import { OfferResult } from "../engine/engine.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";

/** Messages of one stretch at most: a turn of one peer of many. */
const MAX_STRETCH = 1_000;

export { type EncodedMessages, framesBetween };

/** What a move came to. */
export interface Moved {
  /** Messages that were taken of `from`. */
  readonly taken: number;
  /** Bytes of those, as they came. */
  readonly bytes: number;
  /** Bytes of messages that were dropped, because their peer is unknown or its queue full (ROUTER). */
  readonly lostBytes: number;
  /** Why it ended: `from` has no more, `to` has no room, so many were asked for, or a stretch has to be looked at. */
  readonly why: "empty" | "mute" | "enough" | "suspect";
}

/** Whether messages pass undecoded from one to the other. */
export function relays(from: Socket, to: Socket): boolean {
  return from[CORE].engine.encoded?.takes === true && to[CORE].engine.encoded?.offers === true;
}

/** What looks at the stretches that pass. */
export interface RelayLooks {
  /** Picks those that are not to be passed on unseen. */
  readonly isSuspect?: ((stretch: EncodedMessages) => boolean) | undefined;
  /** Takes out what is not to be passed on at all; `undefined`: nothing of it is. */
  readonly sift?: ((stretch: EncodedMessages) => EncodedMessages | undefined) | undefined;
}

export class Relay {
  readonly #from: SocketCore;
  readonly #to: SocketCore;
  readonly #looks: RelayLooks;
  #hand: EncodedMessages | undefined = undefined;
  /** Bytes of what is in hand. */
  #handBytes = 0;

  /** Nothing else may receive from `from` meanwhile. */
  constructor(from: Socket, to: Socket, looks: RelayLooks = {}) {
    this.#from = from[CORE];
    this.#to = to[CORE];
    this.#looks = looks;
  }

  /** Messages that were taken and not passed on yet. */
  get inHand(): number {
    return this.#hand?.messages ?? 0;
  }

  /**
   * Passes on what is in hand, and what is there; takes `most` messages at most, and no more once they have `mostBytes`.
   *
   * @throws ClosedError `EBADF` when `to` is closed
   */
  move(most: number, mostBytes = Number.POSITIVE_INFINITY): Moved {
    const { isSuspect, sift } = this.#looks;
    let taken = 0;
    let bytes = 0;
    let lostBytes = 0;
    for (;;) {
      let hand = this.#hand;
      if (hand === undefined) {
        if (taken >= most || bytes >= mostBytes) return { taken, bytes, lostBytes, why: "enough" };
        this.#to.assertOpen(); // A closed socket would have no room for ever.
        if (!this.#to.engine.writable) return { taken, bytes, lostBytes, why: "mute" };
        hand = this.#from.engine.takeEncoded?.(Math.min(MAX_STRETCH, most - taken));
        if (hand === undefined) return { taken, bytes, lostBytes, why: "empty" };
        const came = bytesOf(hand);
        taken += hand.messages;
        bytes += came;
        this.#from.counters.received += hand.messages;
        this.#from.counters.bytesReceived += came;
        const whole = hand;
        if (sift !== undefined) hand = sift(hand);
        if (hand !== whole) whole.release(); // What is left of it is a copy.
        if (hand === undefined) continue;
        this.#hand = hand;
        this.#handBytes = hand === whole ? came : bytesOf(hand);
        if (isSuspect?.(hand) === true) return { taken, bytes, lostBytes, why: "suspect" };
      }
      const before = hand.messages;
      const { start } = hand;
      const result = this.#to.engine.offerEncoded?.(hand) ?? OfferResult.Mute;
      const refused = result === OfferResult.Unroutable || result === OfferResult.PeerFull ? 1 : 0;
      const gone = hand.messages === 0 ? this.#handBytes : this.#taken(hand, before - hand.messages);
      this.#handBytes -= gone;
      const { counters } = this.#to;
      counters.sent += before - hand.messages;
      counters.bytesSent += gone;
      counters.delivered += before - hand.messages - refused;
      if (refused > 0) lostBytes += this.#refused(result, hand, start, before);
      if (hand.messages === 0) {
        this.#hand = undefined;
        hand.release();
      }
      if (result === OfferResult.Mute) return { taken, bytes, lostBytes, why: "mute" };
    }
  }

  /** Whether {@link move} works: both engines can, and so does the socket type. Else messages are relayed one by one. */
  get batches(): boolean {
    return this.#from.engine.encoded?.takes === true && this.#to.engine.encoded?.offers === true;
  }

  /** Whether `from` has a message. */
  get hasMessages(): boolean {
    return this.#from.engine.readable;
  }

  /** Calls of {@link receive} that have no message yet. */
  get receiving(): number {
    return this.#from.inbox.waiting;
  }

  /** Messages that `to` dropped because no peer has their routing id, or that peer's queue is full (ROUTER). */
  get undeliverable(): number {
    const { dropped } = this.#to.counters;
    return dropped.unroutable + dropped["peer-full"];
  }

  /** The next message of `from`; `undefined` when there is none, or the event loop has to turn first. */
  tryReceive(): Buffer[] | undefined {
    return this.#from.inbox.tryReceive() as Buffer[] | undefined;
  }

  /** The next message of `from`. @throws ClosedError `EAGAIN` when `abandon` ends the wait, or the socket closes */
  receive(options: WaitOptions): Promise<Buffer[]> {
    return this.#from.inbox.receive(options) as Promise<Buffer[]>;
  }

  /** Sends a message if `to` has room. @throws as `trySend` of a socket, for a `mandatory` ROUTER */
  trySend(message: Buffer[]): boolean {
    return this.#to.outbox.trySend(message);
  }

  /** Sends a message when `to` has room. @throws ClosedError `EBADF` when it is closed; otherwise as a socket's `send` */
  async send(message: Buffer[], options: WaitOptions): Promise<void> {
    this.#to.assertOpen(); // A closed socket would let it wait forever.
    await this.#to.outbox.send(message, options, false);
  }

  /** Gives up what is in hand, decoded. */
  surrender(): Buffer[][] {
    const messages = this.#hand?.decode() ?? [];
    this.#hand = undefined;
    return messages;
  }

  /** Settles when `from` has something. */
  readable(options: WaitOptions): Promise<void> {
    return this.#from.readable.wait(options);
  }

  /** Settles when `to` may have room again; right after a move that ended `mute`. */
  writable(options: WaitOptions): Promise<void> {
    return this.#to.writable.wait(options);
  }

  /** Ends all waits for messages of `from` with ClosedError `EAGAIN`, as the socket's closing does. */
  abandon(): void {
    this.#from.inbox.abandon();
    this.#from.readable.abandon();
  }

  /** Bytes of `messages` that were taken off its front. */
  #taken(hand: EncodedMessages, messages: number): number {
    const bytes = hand.takenBytes + (hand.first?.length ?? 0) * messages;
    hand.takenBytes = 0;
    return bytes;
  }

  /** The message that ends where `hand` begins now was dropped. @returns its bytes */
  #refused(result: OfferResult, hand: EncodedMessages, start: number, before: number): number {
    const reason = result === OfferResult.PeerFull ? "peer-full" : "unroutable";
    const offered = hand.copy();
    offered.start = start;
    const message = offered.decode()[before - hand.messages - 1] ?? [];
    this.#to.counters.dropped[reason] += 1;
    this.#to.dropped(reason, message);
    return message.reduce((sum, { length }) => sum + length, 0);
  }
}

/** Of all that is in a new stretch. */
function bytesOf({ tally, first, messages }: EncodedMessages): number {
  return tally.bodyBytes + (first === undefined ? 0 : first.length * messages);
}
