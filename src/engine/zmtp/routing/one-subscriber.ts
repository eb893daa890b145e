/** One XPUB peer as a target, until its connection ends. */
import { type EngineSubscriber, OfferResult, type OutgoingMessage } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import type { SubscriptionIndex } from "./subscription-index.js";

/** Each connection has its own subscriptions. */
export interface Subscriber {
  readonly pipe: Pipe;
  /** Gets no more messages; its prefixes are being removed. */
  gone: boolean;
  /** Untaken messages from it. */
  unread: number;
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

  writable(): void {
    const onWritable = this.#onWritable;
    this.#onWritable = undefined;
    onWritable?.();
  }

  end(): void {
    this.#ended = true;
    this.writable();
  }
}
