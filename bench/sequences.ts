/**
 * Checkers for streams of several senders or paths; `bodies.ts` checks one stream in one order. The counter in the
 * first four bytes identifies a message, so messages need at least four bytes.
 */
abstract class CounterChecker {
  readonly total: number;
  /** Received messages, including the warm-up. */
  seen = 0;
  protected wrong = false;
  readonly #size: number;
  readonly #warmup: number;
  #sum = 0;

  constructor(size: number, warmup: number, count: number) {
    if (size < 4) throw new RangeError(`messages of several senders must have at least 4 bytes; got ${size}`);
    this.#size = size;
    this.#warmup = warmup;
    this.total = warmup + count;
  }

  /** @throws Error for a message of another length */
  take(message: Buffer): void {
    const size = this.#size;
    if (message.length !== size) {
      throw new Error(`message ${this.seen} has ${message.length} bytes instead of ${size}`);
    }
    this.seen++;
    const counter = message.readUInt32BE(0);
    if (counter >= this.total) this.wrong = true;
    else this.check(counter);
    // Without a branch, which would be new code at the end of the warm-up.
    const weight = counter >= this.#warmup ? 1 : 0;
    const middle = message[size >> 1] as number;
    this.#sum = (this.#sum + weight * ((message[0] as number) + middle + (message[size - 1] as number))) | 0;
  }

  protected abstract check(counter: number): void;

  /** Whether all messages arrived in the required order. */
  get ordered(): boolean {
    return !this.wrong && this.seen === this.total;
  }

  get checksum(): string {
    return (this.#sum >>> 0).toString(16).padStart(8, "0");
  }
}

/** Message k comes from sender k mod n. Messages of one sender are in order; senders interleave freely. */
export class StrideChecker extends CounterChecker {
  readonly #next: number[];

  constructor(size: number, warmup: number, count: number, senders: number) {
    super(size, warmup, count);
    this.#next = Array.from({ length: senders }, (_, sender) => sender);
  }

  protected check(counter: number): void {
    const senders = this.#next.length;
    const sender = counter % senders;
    if (this.#next[sender] !== counter) this.wrong = true;
    this.#next[sender] = counter + senders;
  }
}

/** Requires each message exactly once, in any order. */
export class OnceChecker extends CounterChecker {
  readonly #marks = new Uint8Array(this.total);

  protected check(counter: number): void {
    if (this.#marks[counter] === 1) this.wrong = true;
    this.#marks[counter] = 1;
  }
}

/** Checksum of several streams together: the sum of theirs, modulo 2^32. */
export function sumOfChecksums(checksums: Iterable<string>): string {
  let sum = 0;
  for (const checksum of checksums) sum = (sum + Number.parseInt(checksum, 16)) % 2 ** 32;
  return sum.toString(16).padStart(8, "0");
}
