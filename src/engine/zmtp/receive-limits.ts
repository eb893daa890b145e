/** What pauses receiving: the bound on bytes in all receive queues of a socket, and the rate of one peer. */

import { type Rate, RateMeter } from "../../core/rate-meter.js";
import { systemClock } from "../../core/timers.js";

/** Bytes; smaller unfinished messages do not count. */
const LARGE = 65_536;
/** ms for the first peer to send `LARGE` bytes or finish its message. */
const STALL_TIME = 10_000;

export interface BudgetedPipe {
  readonly unfinished: number;
  readonly paused: boolean;
  budgetOnFull(): void;
  budgetOnRoom(): void;
  budgetOnStall(): void;
}

/**
 * Bounds the bytes in all receive queues of one socket (`maxReceiveQueueBytes`).
 *
 *   whole messages at the bound  -> a peer with more is paused until the program has taken half of them
 *   unfinished at half of it     -> peers in the middle of a large message wait for the first one, which must not stall
 */
export class ReceiveBudget {
  #whole = 0;
  #unfinished = 0;
  readonly #limit: () => number;
  /** Pipes in the middle of a large message, oldest first, with its received bytes. */
  readonly #large = new Map<BudgetedPipe, number>();
  readonly #paused = new Set<BudgetedPipe>();
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param limit bytes, 0: no limit */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** Negative when messages are taken. */
  add(bytes: number): void {
    this.#whole += bytes;
    if (bytes < 0) this.#relieve();
  }

  arriving(pipe: BudgetedPipe, unfinished: number): void {
    const before = this.#large.get(pipe);
    if (unfinished < LARGE && before === undefined) return;
    this.#unfinished += unfinished - (before ?? 0);
    if (unfinished > 0) {
      this.#large.set(pipe, unfinished);
      return;
    }
    if (pipe === this.#first) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    this.#large.delete(pipe);
    this.#relieve();
  }

  check(pipe: BudgetedPipe): void {
    const limit = this.#limit();
    if (limit === 0) return;
    const isFull = this.#whole > 0 && this.#whole + this.#unfinished >= limit;
    if (!isFull && !this.#isBehind(pipe, limit)) return;
    this.#paused.add(pipe);
    this.#watch();
    pipe.budgetOnFull();
  }

  /** Whole messages count until they are taken. */
  forget(pipe: BudgetedPipe): void {
    this.#paused.delete(pipe);
    this.arriving(pipe, 0);
  }

  get #first(): BudgetedPipe | undefined {
    for (const pipe of this.#large.keys()) return pipe;
    return undefined;
  }

  #isBehind(pipe: BudgetedPipe, limit: number): boolean {
    return this.#unfinished >= limit / 2 && this.#large.has(pipe) && pipe !== this.#first;
  }

  #relieve(): void {
    if (this.#paused.size === 0) return;
    const limit = this.#limit();
    if (limit > 0 && this.#whole > Math.max(0, limit - this.#unfinished) / 2) return;
    for (const pipe of [...this.#paused]) {
      if (limit > 0 && this.#isBehind(pipe, limit)) continue;
      this.#paused.delete(pipe);
      pipe.budgetOnRoom();
    }
    this.#watch();
  }

  /** While peers wait, the first large message must go on. */
  #watch(): void {
    const first = this.#first;
    if (first === undefined || this.#paused.size === 0 || this.#timer !== undefined) return;
    const before = first.unfinished;
    const timerOnCheck = (): void => {
      this.#timer = undefined;
      const isCrowded = this.#unfinished >= this.#limit() / 2;
      const isAwaited = this.#paused.size > 0;
      if (isAwaited && isCrowded && !first.paused && first.unfinished < before + LARGE) first.budgetOnStall();
      this.#watch();
    };
    this.#timer = setTimeout(timerOnCheck, STALL_TIME).unref();
  }
}

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
