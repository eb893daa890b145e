/**
 * What a connection has of its session's queue: messages in the order of their numbers, as many as the client's window allows; those that
 * were acknowledged, in whatever order, are reported to the store together.
 *
 *   ... settled | in flight: sent, not acknowledged | next ...
 *              low                                   next
 */
import type { Progress } from "./rules.js";

export interface DeliveryWindow {
  readonly messages: number;
  readonly bytes: number;
}

export class Deliveries {
  readonly #window: DeliveryWindow;
  /** Sizes of messages that were sent, in the order of their numbers. */
  readonly #inFlight = new Map<number, number>();
  #bytes = 0;
  #next: number;
  #acknowledged: number[] = [];
  #old: number[] = [];
  #reported: number | undefined;

  /** @param head no message is kept below it */
  constructor(window: DeliveryWindow, head: number) {
    this.#window = window;
    this.#next = head;
  }

  /** The next message has this number, or a greater one. */
  get next(): number {
    return this.#next;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Messages that may be sent now. */
  get room(): number {
    return this.#bytes >= this.#window.bytes ? 0 : this.#window.messages - this.#inFlight.size;
  }

  /** Bytes that may be sent now; a single message may be larger. */
  get roomBytes(): number {
    return Math.max(1, this.#window.bytes - this.#bytes);
  }

  /** A message was sent. */
  sent(number: number, size: number): void {
    this.#next = number + 1;
    this.#inFlight.set(number, size);
    this.#bytes += size;
  }

  /** A message was too old to be sent. */
  passed(number: number): void {
    this.#next = number + 1;
    this.#old.push(number);
  }

  /** Numbers below `low` that are in flight, and these, are acknowledged. Others are no matter: a client may repeat itself. */
  settle(low: number, numbers: readonly number[]): void {
    for (const number of this.#inFlight.keys()) {
      if (number >= low) break;
      this.#take(number);
    }
    for (const number of numbers) this.#take(number);
  }

  /** The client knows of so many drops. */
  reported(drops: number): void {
    this.#reported = Math.max(drops, this.#reported ?? 0);
  }

  /** Whether the store has to hear of something. */
  get hasProgress(): boolean {
    return this.#acknowledged.length > 0 || this.#old.length > 0 || this.#reported !== undefined;
  }

  /** What the store has to hear of; once. */
  progress(): Progress {
    const progress = {
      acknowledged: this.#acknowledged,
      old: this.#old,
      low: this.#inFlight.keys().next().value ?? this.#next,
      sent: this.#next,
      reported: this.#reported,
    };
    this.#acknowledged = [];
    this.#old = [];
    this.#reported = undefined;
    return progress;
  }

  #take(number: number): void {
    const size = this.#inFlight.get(number);
    if (size === undefined) return;
    this.#inFlight.delete(number);
    this.#bytes -= size;
    this.#acknowledged.push(number);
  }
}
