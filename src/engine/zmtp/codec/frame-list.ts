/**
 * Messages received as arrays of frames, from a socket of the same thread (in-stream.ts).
 *
 *   push() x 1,000 -> full, and the next list begins
 *   shift(), taken() for each message
 */

/** As in one receive (sockets/inbox.ts). */
const MAX_MESSAGES = 1_000;
const MAX_COST = 524_288;

const NONE: Buffer[] = [];

/** For lists that fill up: a growing array would be copied ten times. */
const PLACES: Buffer[][] = [];
for (let i = 0; i < MAX_MESSAGES; i++) PLACES.push(NONE); // Holes would change V8's element kind.

export class FrameList {
  readonly #messages: Buffer[][];
  /** Messages in [`#at`, `#end`) are queued. */
  #at = 0;
  #end = 1;
  /** Bytes and cost (core/frame-cost.ts) of the queued messages. */
  size: number;
  cost: number;

  constructor(first: Buffer[], size: number, cost: number, large: boolean) {
    // V8 inlines `push` only for an array that began with an element.
    if (large) {
      this.#messages = PLACES.slice();
      this.#messages[0] = first;
    } else this.#messages = [first];
    this.size = size;
    this.cost = cost;
  }

  get waiting(): number {
    return this.#end - this.#at;
  }

  get full(): boolean {
    return this.#end >= MAX_MESSAGES || this.cost >= MAX_COST;
  }

  get wasLarge(): boolean {
    return this.#end > MAX_MESSAGES >> 1;
  }

  push(frames: Buffer[], size: number, cost: number): void {
    this.#messages[this.#end++] = frames;
    this.size += size;
    this.cost += cost;
  }

  /** The message still counts until `taken`. */
  shift(): Buffer[] {
    const message = this.#messages[this.#at] as Buffer[];
    this.#messages[this.#at++] = NONE;
    return message;
  }

  /** @returns the message's cost */
  taken(size: number, cost: number): number {
    // A sender may still transfer a frame to a thread, which empties it.
    const isOver = this.waiting === 0;
    const gone = isOver ? this.cost : cost;
    this.size -= isOver ? this.size : size;
    this.cost -= gone;
    return gone;
  }
}
