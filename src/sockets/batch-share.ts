/**
 * Limits the messages of one receive, so that the batches of all sockets stay small together.
 *
 * A loop holds its last batch until the next. 50 sockets with 1,000 messages each fill V8's young generation, so each
 * collection copies them. Sockets that receive by turns therefore share one budget:
 *
 *   a a a a          1,000 each
 *   a b c … a b c …  divided by the number of receives since the socket's last one; grows while no other socket receives
 */

export const MAX_MANY = 1_000;
/** Most messages in all sockets' last batches, unless MIN_MANY applies. */
const MAX_HELD = 6_400;
/** Each socket's minimum; fewer are not worth a call. */
const MIN_MANY = 64;
/** Sockets at which each gets MIN_MANY. */
const MAX_SHARERS = MAX_HELD / MIN_MANY;

let made = 0;
let last = -1;
/** Times that the receiving socket changed. */
let switches = 0;

export class BatchShare {
  readonly #id = made++;
  /** `switches` at this socket's last turn. */
  #at = switches;
  #others = 0;

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
