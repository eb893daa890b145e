/**
 * Limits by token buckets. A {@link RateMeter} has one for messages, and one for bytes:
 *
 *   level   grows by the rate, up to one second's worth; falls by the amount passed, also below 0 (a debt)
 *   open    while each level is 1 or more
 *
 * A batch passes as a whole once the meter is open. The first level is one message: reconnecting gains nothing.
 */

/** Per second; absent: no limit. */
export interface Rate {
  readonly messages?: number | undefined;
  readonly bytes?: number | undefined;
}

const SLACK = 1e-6;
/** ms: a timer per message would cost more than the message. */
const LEAST_HOLD = 10;
/** ms; timers hold at most 24 days. */
const LONGEST_HOLD = 60_000;

/** Allows `most` at once, and then `rate` per second. Pure. */
export class TokenBucket {
  readonly #most: number;
  readonly #rate: number;
  level: number;
  #at: number;

  constructor(most: number, rate: number, now: number, level = most) {
    this.#most = most;
    this.#rate = rate;
    this.level = level;
    this.#at = now;
  }

  fill(now: number): void {
    this.level = Math.min(this.#most, this.level + (Math.max(0, now - this.#at) * this.#rate) / 1_000);
    this.#at = now;
  }

  /** @returns whether one was left */
  take(now: number): boolean {
    this.fill(now);
    if (this.level < 1) return false;
    this.level -= 1;
    return true;
  }

  /** ms until the level is 1. */
  get wait(): number {
    return this.level >= 1 - SLACK ? 0 : ((1 - this.level) * 1_000) / this.#rate;
  }
}

export class RateMeter {
  #messages: TokenBucket | undefined = undefined;
  #bytes: TokenBucket | undefined = undefined;

  constructor(rate: Rate, now: number) {
    this.change(rate, now);
  }

  change({ messages, bytes }: Rate, now: number): void {
    this.#fill(now);
    this.#messages = changed(this.#messages, messages, now);
    this.#bytes = changed(this.#bytes, bytes, now);
  }

  /** Infinite without a limit. */
  messages(now: number): number {
    this.#fill(now);
    if (this.#bytes !== undefined && this.#bytes.wait > 0) return 0;
    return this.#messages === undefined ? Number.POSITIVE_INFINITY : Math.floor(this.#messages.level + SLACK);
  }

  /** The last message may exceed this. */
  bytes(now: number): number {
    this.#fill(now);
    return this.#bytes?.level ?? Number.POSITIVE_INFINITY;
  }

  spend(messages: number, bytes: number): void {
    if (this.#messages !== undefined) this.#messages.level -= messages;
    if (this.#bytes !== undefined) this.#bytes.level -= bytes;
  }

  wait(now: number): number {
    this.#fill(now);
    return Math.max(this.#messages?.wait ?? 0, this.#bytes?.wait ?? 0);
  }

  /** ms for a timer, after which the meter is open or is to be asked again. */
  hold(now: number): number {
    return Math.ceil(Math.min(LONGEST_HOLD, Math.max(LEAST_HOLD, this.wait(now))));
  }

  #fill(now: number): void {
    this.#messages?.fill(now);
    this.#bytes?.fill(now);
  }
}

function changed(
  bucket: TokenBucket | undefined,
  rate: number | undefined,
  now: number,
): TokenBucket | undefined {
  if (rate === undefined) return undefined;
  const level = bucket === undefined ? 1 : Math.min(rate, bucket.level);
  return new TokenBucket(rate, rate, now, level);
}
