/**
 * A peer of an XPUB that the program answers: a message goes into its pipe alone,
 * behind those for everybody. It ends with its connection; the next one subscribes again.
 */
import { type EngineSubscriber, OfferResult, type OutgoingMessage } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import type { SubscriptionIndex } from "./subscription-index.js";

/** A peer while one connection of it lasts: the next has subscriptions of its own. */
export interface Subscriber {
  readonly pipe: Pipe;
  /** It has left: nothing is for it any more, though its prefixes are not all taken back. */
  gone: boolean;
}

export class OneSubscriber implements EngineSubscriber {
  readonly #pipe: Pipe;
  readonly #subscriber: Subscriber;
  readonly #index: SubscriptionIndex<Subscriber>;
  #onWritable: (() => void) | undefined = undefined;
  #ended = false;

  constructor(subscriber: Subscriber, index: SubscriptionIndex<Subscriber>) {
    this.#pipe = subscriber.pipe;
    this.#subscriber = subscriber;
    this.#index = index;
  }

  has(prefix: string): boolean {
    return !this.#ended && this.#index.has(prefix, this.#subscriber);
  }

  offer(message: OutgoingMessage): OfferResult {
    if (this.#ended) return OfferResult.Unroutable;
    if (!this.#pipe.hasRoomToSpare()) return OfferResult.Mute;
    this.#pipe.send(message, 0, undefined);
    return OfferResult.Accepted;
  }

  wantWritable(onWritable: () => void): void {
    this.#onWritable = onWritable;
  }

  /** There is room again. */
  writable(): void {
    const onWritable = this.#onWritable;
    this.#onWritable = undefined;
    onWritable?.();
  }

  /** Its connection is gone. */
  end(): void {
    this.#ended = true;
    this.writable();
  }
}
