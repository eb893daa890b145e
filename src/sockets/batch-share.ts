/**
 * Limits the messages of one receive, so that the batches of all sockets together stay small.
 *
 * A loop over batches holds the last one until the next arrives. 50 sockets with 1,000 messages each fill V8's whole
 * young generation, so each collection copies them. Sockets that receive by turns therefore share one budget:
 *
 *   a a a a          1,000 each
 *   a b c … a b c …  divided by the number of receives since the socket's last one; grows while no other socket receives
 */

/** Most messages of one receive, so that the event loop can turn. */
export const MAX_MANY = 1_000;
/** Most messages in the last batches of all sockets, unless MIN_MANY applies. */
const MAX_HELD = 6_400;
/** Messages each socket may always take; fewer would not be worth a call. */
const MIN_MANY = 64;
/** The number of sockets at which each gets MIN_MANY. */
const MAX_SHARERS = MAX_HELD / MIN_MANY;

let made = 0;
/** The id of the socket with the last batch. */
let last = -1;
/** The number of times that the receiving socket changed. */
let switches = 0;

export class BatchShare {
  readonly #id = made++;
  /** `switches` at the last turn of this socket. */
  #at = switches;
  #others = 0;

  /** Most messages for the next receive. */
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
