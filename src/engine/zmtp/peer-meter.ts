import { systemClock } from "../../core/clock.js";
import { type Rate, RateMeter } from "../../core/rate-meter.js";

export interface PeerMeterEffects {
  meterOnHeld(): void;
  meterOnOpen(): void;
}

/**
 * Excess messages wait in the peer's receive queue, which pauses the connection when full.
 *
 *   open --rate exceeded--> held --time--> open: its messages can be taken again
 */
export class PeerMeter {
  readonly #meter: RateMeter;
  readonly #effects: PeerMeterEffects;
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(rate: Rate, effects: PeerMeterEffects) {
    this.#meter = new RateMeter(rate, systemClock.now());
    this.#effects = effects;
  }

  /** Messages that may be taken now; after 0, `meterOnOpen` follows. */
  get messages(): number {
    if (this.#timer !== undefined) return 0;
    const now = systemClock.now();
    const messages = this.#meter.messages(now);
    if (messages > 0) return messages;
    this.#timer = setTimeout(this.#timerOnOpen, this.#meter.hold(now)).unref();
    this.#effects.meterOnHeld();
    return 0;
  }

  spend(messages: number, bytes: number): void {
    this.#meter.spend(messages, bytes);
  }

  /** Applies from the next take on. */
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
