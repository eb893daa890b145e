/**
 * A connection's part of a session's queue: messages in order, within the client's window. Acknowledgements, in any
 * order, reach the store together.
 *
 *   ... acknowledged | in flight: sent, not acknowledged | not sent ...
 *                   low                                 next
 */
import type { OpenRequest } from "./protocol.js";
import type { Progress } from "./rules.js";

export type DeliveryWindow = Pick<OpenRequest, "window" | "windowBytes">;

export class InFlightBytes {
  readonly #limit: number;
  readonly #clients: () => number;
  used = 0;

  constructor(limit: number, clients: () => number) {
    this.#limit = limit;
    this.#clients = clients;
  }

  get share(): number {
    return Math.max(16_384, Math.floor(this.#limit / Math.max(1, this.#clients())));
  }

  /** A client's limit. Beyond the total each has an equal share, so none starves others. */
  allowed(has: number): number {
    return Math.max(this.share, has + this.#limit - this.used);
  }
}

export class Deliveries {
  readonly #window: DeliveryWindow;
  readonly #all: InFlightBytes;
  /** Sizes of unacknowledged messages by number. */
  readonly #inFlight = new Map<number, number>();
  #bytes = 0;
  next: number;
  #acknowledged: number[] = [];
  #old: number[] = [];
  #reported: number | undefined;
  #known = 0;

  constructor(window: DeliveryWindow, all: InFlightBytes, head: number) {
    this.#window = window;
    this.#all = all;
    this.next = head;
  }

  get room(): number {
    return this.#bytes > 0 && this.#bytes >= this.#allowed ? 0 : this.#window.window - this.#inFlight.size;
  }

  /** Of one read, of which each client may have one at a time. One message may be larger. */
  get roomBytes(): number {
    return Math.max(1, Math.min(this.#allowed - this.#bytes, this.#all.share));
  }

  get #allowed(): number {
    return Math.min(this.#window.windowBytes, this.#all.allowed(this.#bytes));
  }

  sent(number: number, size: number): void {
    this.next = number + 1;
    this.#inFlight.set(number, size);
    this.#bytes += size;
    this.#all.used += size;
  }

  passed(number: number): void {
    this.next = number + 1;
    this.#old.push(number);
  }

  /** Acknowledges numbers below `low`, and these; ignores unknown ones. @returns whether one was in flight */
  settle(low: number, numbers: readonly number[]): boolean {
    const before = this.#inFlight.size;
    for (const number of this.#inFlight.keys()) {
      if (number >= low) break;
      this.#take(number);
    }
    for (const number of numbers) this.#take(number);
    return this.#inFlight.size < before;
  }

  /** @param drops known to the client @returns whether that is new */
  reported(drops: number): boolean {
    if (drops <= this.#known) return false;
    this.#known = drops;
    this.#reported = drops;
    return true;
  }

  end(): void {
    this.#all.used -= this.#bytes;
    this.#bytes = 0;
    this.#inFlight.clear();
  }

  get hasProgress(): boolean {
    return this.#acknowledged.length > 0 || this.#old.length > 0 || this.#reported !== undefined;
  }

  progress(): Progress {
    const progress = {
      acknowledged: this.#acknowledged,
      old: this.#old,
      low: this.#inFlight.keys().next().value ?? this.next,
      sent: this.next,
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
    this.#all.used -= size;
    this.#acknowledged.push(number);
  }
}
