/**
 * Whether something may pass, at so many messages and bytes a second: a token bucket for each. Pure; the caller has the
 * clock.
 *
 *   level   grows by the rate, up to one second's worth; falls by what passes, below 0, too (a debt)
 *   open    while each level is 1 or more
 *
 * A batch passes as a whole once the meter is open, so what passes in any time t is at most rate * (t + 1 s), and for
 * bytes one batch more. It begins with one message, not with a second's worth: connecting again gains nothing.
 */

/** A second's worth; absent: no limit. */
export interface Rate {
  readonly messages?: number | undefined;
  readonly bytes?: number | undefined;
}

/** What floating point may be off by. */
const SLACK = 1e-6;

class Bucket {
  rate: number;
  level = 1;

  constructor(rate: number) {
    this.rate = rate;
  }

  fill(ms: number): void {
    this.level = Math.min(this.rate, this.level + (ms * this.rate) / 1_000);
  }

  /** ms until its level is 1. */
  get wait(): number {
    return this.level >= 1 - SLACK ? 0 : ((1 - this.level) * 1_000) / this.rate;
  }
}

export class RateMeter {
  #messages: Bucket | undefined = undefined;
  #bytes: Bucket | undefined = undefined;
  #last: number;

  /** @param now ms */
  constructor(rate: Rate, now: number) {
    this.#last = now;
    this.change(rate, now);
  }

  /** Another rate from now on; debts stay. */
  change({ messages, bytes }: Rate, now: number): void {
    this.#fill(now);
    this.#messages = changed(this.#messages, messages);
    this.#bytes = changed(this.#bytes, bytes);
  }

  /** Messages that may pass now; 0: none, infinite: no limit. */
  messages(now: number): number {
    this.#fill(now);
    if (this.#bytes !== undefined && this.#bytes.wait > 0) return 0;
    return this.#messages === undefined ? Number.POSITIVE_INFINITY : Math.floor(this.#messages.level + SLACK);
  }

  /** Bytes that may pass now, when messages may; the last message may go beyond. */
  bytes(now: number): number {
    this.#fill(now);
    return this.#bytes?.level ?? Number.POSITIVE_INFINITY;
  }

  /** So much has passed. */
  spend(messages: number, bytes: number): void {
    if (this.#messages !== undefined) this.#messages.level -= messages;
    if (this.#bytes !== undefined) this.#bytes.level -= bytes;
  }

  /** ms until a message may pass; 0: now. */
  wait(now: number): number {
    this.#fill(now);
    return Math.max(this.#messages?.wait ?? 0, this.#bytes?.wait ?? 0);
  }

  #fill(now: number): void {
    const ms = Math.max(0, now - this.#last);
    this.#last = now;
    this.#messages?.fill(ms);
    this.#bytes?.fill(ms);
  }
}

function changed(bucket: Bucket | undefined, rate: number | undefined): Bucket | undefined {
  if (rate === undefined) return undefined;
  if (bucket === undefined) return new Bucket(rate);
  bucket.rate = rate;
  bucket.fill(0);
  return bucket;
}
