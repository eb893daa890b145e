/**
 * How many messages one receive takes at most, so that the batches of all sockets together stay few.
 *
 * A loop over batches holds the last one until the next is there. With 50 sockets and 1,000 messages each that is as much as
 * V8's whole young generation, which then copies them in each collection. So sockets that
 * receive by turns share what one alone would have:
 *
 *   a a a a          1,000 each
 *   a b c … a b c …  the share of as many as took some since its last one; it grows again while no other takes any
 */

/** Messages of one receive at most, so that the event loop turns between them. */
export const MAX_MANY = 1_000;
/** Messages of the last batches of all sockets together, as long as each has its least. */
const MAX_HELD = 6_400;
/** Messages that each may have in any case: a call for fewer would cost more than it saves. */
const MIN_MANY = 64;
/** Sockets from which on each has its least. */
const MAX_SHARERS = MAX_HELD / MIN_MANY;

let made = 0;
/** The one that took the last batch. */
let last = -1;
/** How often another one took a batch than before. */
let switches = 0;

export class BatchShare {
  readonly #id = made++;
  /** `switches` when it was its turn last. */
  #at = switches;
  #others = 0;

  /** Messages that the next receive takes at most. */
  next(): number {
    if (last !== this.#id) {
      last = this.#id;
      switches += 1;
      this.#others = Math.min(switches - this.#at, MAX_SHARERS);
      this.#at = switches;
    } else if (this.#others > 1) this.#others -= 1;
    return this.#others <= 1 ? MAX_MANY : Math.min(MAX_MANY, Math.floor(MAX_HELD / this.#others));
  }
}
