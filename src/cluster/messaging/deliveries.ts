/** Messages to this node's own subscriptions; those of its own publishers at the end of the turn. */
import { RingBuffer } from "../../core/collections/queues.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { IdleWaits, ignore } from "../../core/waiter.js";
import type { ReceivedMessage } from "./message.js";
import type { Subscription } from "./subscription.js";

interface Local {
  readonly subscriptions: readonly Subscription[];
  readonly message: ReceivedMessage;
  /** Of a retained message; else 0. */
  readonly stamp: number;
}

export class Deliveries {
  readonly #queue = new RingBuffer<Local>();
  /** ms of deliveries between turns of the event loop. */
  readonly #budget = new TurnBudget(10);
  #queuedBytes = 0;
  #isScheduled = false;
  #number = 0;
  delivered = 0;
  readonly #waits = new IdleWaits();

  /** Of publications in one turn. */
  get isFull(): boolean {
    return this.#queue.length >= 65_536 || this.#queuedBytes >= 67_108_864;
  }

  /**
   * Gives a message to the subscriptions whose subtopic fits: for each client the first, and those with `each`.
   *
   * @param holds whether the caller can wait
   * @param stamp of a retained message; else 0
   * @returns settles when there is room for more; `undefined`: there is
   */
  deliver(
    subscriptions: readonly Subscription[],
    message: ReceivedMessage,
    holds: boolean,
    stamp = 0,
  ): Promise<void> | undefined {
    const number = ++this.#number;
    let held: Promise<void> | undefined;
    for (let i = 0; i < subscriptions.length; i++) {
      const subscription = subscriptions[i] as Subscription;
      const { subtopic, subscriber } = subscription;
      if (subtopic !== undefined && subtopic !== message.subtopic) continue;
      if (!subscription.each) {
        if (subscriber.lastDelivery === number) continue;
        subscriber.lastDelivery = number;
      }
      if (stamp !== 0 && subscription.retained && !subscription.takes(message, stamp)) continue;
      this.delivered += 1;
      const room = subscription.push(message, holds);
      if (room !== undefined) held = held === undefined ? room : Promise.all([held, room]).then(ignore);
    }
    return held;
  }

  /** Queues a message of this node's own publisher, or a retained value. @param stamp of a retained message; else 0 */
  queue(subscriptions: readonly Subscription[], message: ReceivedMessage, stamp = 0): void {
    this.#queue.push({ subscriptions, message, stamp });
    this.#queuedBytes += message.bytes;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#drain);
  }

  /** Settles when the queue is empty. */
  drained(): Promise<void> {
    return this.#waits.wait(this.#queue.length === 0);
  }

  readonly #drain = (): void => {
    for (let local = this.#queue.shift(); local !== undefined; local = this.#queue.shift()) {
      this.#queuedBytes -= local.message.bytes;
      this.deliver(local.subscriptions, local.message, false, local.stamp);
      if (this.#budget.spend() && this.#queue.length > 0) {
        setImmediate(this.#drain);
        return;
      }
    }
    this.#isScheduled = false;
    this.#waits.end();
  };
}
