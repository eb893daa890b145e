/**
 * A peer of an XPUB that the program answers: a message goes into its pipe alone,
 * behind those for everybody. It ends with its connection; the next one subscribes anew.
 */
import { OfferResult, type OutgoingMessage } from "../../engine.js";
import type { EngineSubscriber } from "../../subscriber.js";
import type { Pipe } from "../pipe.js";
import type { SubscriptionIndex } from "./subscription-index.js";

export class OneSubscriber implements EngineSubscriber {
  readonly #pipe: Pipe;
  readonly #index: SubscriptionIndex<Pipe>;
  #told: (() => void) | undefined = undefined;
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

  wantWritable(told: () => void): void {
    this.#told = told;
  }

  /** There is room again. */
  tell(): void {
    const told = this.#told;
    this.#told = undefined;
    told?.();
  }

  /** Its connection is gone. */
  end(): void {
    this.#ended = true;
    this.tell();
  }
}
