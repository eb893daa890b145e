/**
 * Messages that came as their frames, from a socket of the same thread (in-stream.ts): a list that is given to the program whole where
 * a receive for many asks for as much, so that nothing is done for each of its messages.
 *
 *   push() x 1,000 -> full, and the next list begins
 *   fits() -> whole(): the program's          or          shift(), taken() for each message
 */

/** Messages, and what they cost, from which on a list takes no more: what one receive gives at most (sockets/inbox.ts). */
const MAX_MESSAGES = 1_000;
const MAX_COST = 524_288;

/** What stands where no message is: none yet, or none any more. */
const NONE: Buffer[] = [];

/** Copied for a list that will probably be full: an array that grows is copied ten times until then. */
const PLACES: Buffer[][] = [];
for (let i = 0; i < MAX_MESSAGES; i++) PLACES.push(NONE); // Without holes, as the others.

export class FrameList {
  readonly #messages: Buffer[][];
  /** Those from `#at` on, and before `#end`, wait. */
  #at = 0;
  #end = 1;
  /** Bytes of the frames of those that wait, and what they cost (core/frame-cost.ts). */
  size: number;
  cost: number;

  /** @param large it will probably be full */
  constructor(first: Buffer[], size: number, cost: number, large: boolean) {
    // Either has an element from the beginning: V8 calls `push` of an array that was empty, and makes code of it for others.
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

  /** Whether it takes no more. */
  get full(): boolean {
    return this.#end >= MAX_MESSAGES || this.cost >= MAX_COST;
  }

  /** Whether the next one will probably be full. */
  get wasLarge(): boolean {
    return this.#end > MAX_MESSAGES >> 1;
  }

  push(frames: Buffer[], size: number, cost: number): void {
    this.#messages[this.#end++] = frames;
    this.size += size;
    this.cost += cost;
  }

  /** Whether nothing of it is taken, and a receive of so much may have all of it. A lone message always fits. */
  fits(max: number, maxCost: number): boolean {
    return this.#at === 0 && this.#end <= max && (this.cost <= maxCost || this.#end === 1);
  }

  /** All of them, which are the caller's; the list is over. */
  get messages(): Buffer[][] {
    if (this.#messages.length > this.#end) this.#messages.length = this.#end;
    return this.#messages;
  }

  /** The next message; only when one waits. It is counted until `taken`. */
  shift(): Buffer[] {
    const message = this.#messages[this.#at] as Buffer[];
    this.#messages[this.#at++] = NONE; // Its frames live as long as the program keeps them.
    return message;
  }

  /** What `shift` gave had so many bytes, and cost so much. @returns the cost that waits no more */
  taken(size: number, cost: number): number {
    // Who gave a frame away may have transferred its memory to a thread all the same: it was longer when it came.
    const isOver = this.waiting === 0;
    const gone = isOver ? this.cost : cost;
    this.size -= isOver ? this.size : size;
    this.cost -= gone;
    return gone;
  }
}
