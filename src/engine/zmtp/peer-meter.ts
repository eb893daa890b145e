/** A peer's rate, where a policy has one: when its messages may be taken. */
import { systemClock } from "../../core/clock.js";
import { type Rate, RateMeter } from "../../core/rate-meter.js";

/** A constant decides, so that a page's build has none of what only proxies and clusters ask of peers: policies, and properties that they announce. */
export const HAS_POLICIES = true;
/** ms that a peer is held at least: a timer for each message would cost more than the messages. */
const LEAST_HOLD = 10;
/** ms after which one that is held for long is looked at again; a timer of the platform holds no more than 24 days. */
const LONGEST_HOLD = 60_000;

/** Reports the meter's two states. */
export interface PeerMeterEffects {
  meterOnHeld(): void;
  meterOnOpen(): void;
}

/**
 * Holds a peer to its rate: what it sends is taken at that rate, and waits in its receive queue until then. When the
 * queue is full, the connection is read no further, and the peer feels it; nothing is dropped.
 *
 *   open --taken more than the rate has--> held --time--> open: its messages are there again
 */
export class PeerMeter {
  readonly #meter: RateMeter;
  readonly #effects: PeerMeterEffects;
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(rate: Rate, effects: PeerMeterEffects) {
    this.#meter = new RateMeter(rate, systemClock.now());
    this.#effects = effects;
  }

  /** Messages that may be taken now, where there are some; after a 0 `meterOnOpen` is called. */
  get messages(): number {
    if (this.#timer !== undefined) return 0;
    const now = systemClock.now();
    const messages = this.#meter.messages(now);
    if (messages > 0) return messages;
    const wait = Math.min(LONGEST_HOLD, Math.max(LEAST_HOLD, this.#meter.wait(now)));
    this.#timer = setTimeout(this.#timerOnOpen, Math.ceil(wait)).unref();
    this.#effects.meterOnHeld();
    return 0;
  }

  spend(messages: number, bytes: number): void {
    this.#meter.spend(messages, bytes);
  }

  /** Another rate. Whether the peer is held is decided again when messages are taken. */
  change(rate: Rate): void {
    this.#meter.change(rate, systemClock.now());
    this.end();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #timerOnOpen = (): void => {
    this.#timer = undefined;
    this.#effects.meterOnOpen();
  };
}
