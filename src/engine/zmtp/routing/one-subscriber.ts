/**
 * A peer of an XPUB that the program answers: a message goes into its pipe alone,
 * behind those for everybody. It ends with its connection; the next one subscribes again.
 */
import { type EngineSubscriber, OfferResult, type OutgoingMessage } from "../../engine.js";
import type { Pipe } from "../pipe.js";
import type { SubscriptionIndex } from "./subscription-index.js";

export class OneSubscriber implements EngineSubscriber {
  readonly #pipe: Pipe;
  readonly #index: SubscriptionIndex<Pipe>;
  #onWritable: (() => void) | undefined = undefined;
  #ended = false;

  constructor(pipe: Pipe, index: SubscriptionIndex<Pipe>) {
    this.#pipe = pipe;
    this.#index = index;
  }

  has(prefix: string): boolean {
    return !this.#ended && this.#index.has(prefix, this.#pipe);
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
