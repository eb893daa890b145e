/**
 * Passes messages from one socket to another as they came, without decoding them and
 * without an object for each: what a proxy between two sockets moves.
 *
 *   from.engine --takeEncoded--> in hand, one stretch at most --offerEncoded--> to.engine
 *
 * Back-pressure: while `to` has no room, nothing is taken of `from`. What is in hand
 * and not yet passed on is the only memory here.
 */
import type { EncodedMessages } from "../engine/encoded.js";
import { OfferResult } from "../engine/engine.js";
import { CORE, type Socket } from "./socket.js";
import type { SocketCore } from "./socket-core.js";
import type { WaitOptions } from "./waiter.js";

/** Messages of one stretch at most: a turn of one peer of many. */
const MAX_STRETCH = 1_000;

/** What a move came to. */
export interface Moved {
  /** Messages that were passed on. */
  readonly messages: number;
  /** Messages that were dropped, because their peer is unknown or its queue full (ROUTER). */
  readonly dropped: number;
  /** Why it ended: `from` has no more, `to` has no room, or enough was moved. */
  readonly why: "empty" | "mute" | "enough";
}

/** Whether messages pass undecoded from one to the other. */
export function relays(from: Socket, to: Socket): boolean {
  return from[CORE].engine.encoded?.takes === true && to[CORE].engine.encoded?.offers === true;
}

export class Relay {
  readonly #from: SocketCore;
  readonly #to: SocketCore;
  readonly #onStretch: ((stretch: EncodedMessages) => void) | undefined;
  #hand: EncodedMessages | undefined = undefined;

  /**
   * Nothing else may receive from `from` meanwhile.
   *
   * @param onStretch hears of each stretch before it is passed on; it leaves it as it is
   */
  constructor(from: Socket, to: Socket, onStretch?: (stretch: EncodedMessages) => void) {
    this.#from = from[CORE];
    this.#to = to[CORE];
    this.#onStretch = onStretch;
  }

  /** Messages that were taken and not passed on yet. */
  get inHand(): number {
    return this.#hand?.messages ?? 0;
  }

  /** Passes on what is there, until `enough` messages or more. */
  move(enough: number): Moved {
    const { engine: source } = this.#from;
    const { engine: target } = this.#to;
    let messages = 0;
    let dropped = 0;
    for (;;) {
      let hand = this.#hand;
      if (hand === undefined) {
        if (messages >= enough) return { messages, dropped, why: "enough" };
        hand = source.takeEncoded?.(MAX_STRETCH);
        if (hand === undefined) return { messages, dropped, why: "empty" };
        this.#hand = hand;
        this.#taken(hand);
        this.#onStretch?.(hand);
      }
      const before = hand.messages;
      const result = target.offerEncoded?.(hand);
      const refused = result === OfferResult.Unroutable || result === OfferResult.PeerFull ? 1 : 0;
      const passed = before - hand.messages - refused;
      messages += passed;
      dropped += refused;
      this.#account(passed, result === OfferResult.PeerFull ? "peer-full" : "unroutable", refused);
      if (hand.messages === 0) this.#hand = undefined;
      if (result === OfferResult.Mute) return { messages, dropped, why: "mute" };
    }
  }

  /** Settles when `from` has something. */
  readable(options: WaitOptions): Promise<void> {
    return this.#from.readable.wait(options);
  }

  /** Settles when `to` may have room again; right after a move that ended `mute`. */
  writable(options: WaitOptions): Promise<void> {
    return this.#to.writable.wait(options);
  }

  #taken({ messages, tally, first }: EncodedMessages): void {
    const { counters } = this.#from;
    counters.received += messages;
    const all = tally.bodyBytes + (first === undefined ? 0 : first.length * messages);
    counters.bytesReceived += all;
    this.#to.counters.bytesSent += all;
  }

  #account(passed: number, why: "peer-full" | "unroutable", refused: number): void {
    const { counters } = this.#to;
    counters.sent += passed + refused;
    counters.delivered += passed;
    counters.dropped[why] += refused;
  }
}
