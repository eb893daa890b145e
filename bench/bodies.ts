/**
 * Messages that every implementation sends and checks, by the rule in contract.ts.
 *
 * Byte layout of message k of SIZE bytes, n = min(4, SIZE):
 *
 *     0 … n-1      k modulo 2^(8n), big-endian
 *     n … SIZE-1   (31 * (k mod 16) + offset) mod 251
 */

const KINDS = 16;
/** Prepared messages: more than any implementation has in flight at its high-water mark of 1,000. */
const RING = 4_096;
/** Longest prepared message; longer ones are copied for each send. */
export const MAX_RING_SIZE = 4_096;

/** Body of kind j, before the counter is written over its beginning. */
function body(size: number, kind: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let i = 0; i < size; i++) bytes[i] = (31 * kind + i) % 251;
  return bytes;
}

function writeCounter(bytes: Uint8Array, k: number, width: number): void {
  for (let i = width - 1, rest = k; i >= 0; i--) {
    bytes[i] = rest & 0xff;
    rest >>>= 8;
  }
}

/** Bytes of a message that enter the checksum. */
function sample(message: Uint8Array, size: number): number {
  return (message[0] as number) + (message[size >> 1] as number) + (message[size - 1] as number);
}

/** Creates messages; they are filled only once. */
export class Bodies {
  readonly size: number;
  readonly #kinds: readonly Buffer[];
  readonly #width: number;

  constructor(size: number) {
    if (!Number.isSafeInteger(size) || size < 1)
      throw new RangeError(`a message must have at least 1 byte; got ${size}`);
    this.size = size;
    this.#kinds = Array.from({ length: size > MAX_RING_SIZE ? KINDS : RING }, (_, at) =>
      body(size, at % KINDS),
    );
    this.#width = Math.min(4, size);
  }

  /**
   * Message k. The memory of a short message is reused 4,096 messages later, long after it was sent. So the benchmark
   * measures sending instead of creating buffers, which a C program does not do either.
   */
  make(k: number): Buffer {
    const made = this.#kinds[k % this.#kinds.length] as Buffer;
    const bytes = this.size > MAX_RING_SIZE ? Buffer.from(made) : made;
    writeCounter(bytes, k, this.#width);
    return bytes;
  }

  /** Message k in memory that is reused within 16 messages, for senders that copy it at once. */
  lend(k: number): Buffer {
    const bytes = this.#kinds[k % this.#kinds.length] as Buffer;
    writeCounter(bytes, k, this.#width);
    return bytes;
  }

  /** Message k in new memory, for parallel sockets: together they have more messages in flight. */
  makeOwn(k: number): Buffer {
    const bytes = Buffer.from(this.#kinds[k % KINDS] as Buffer);
    writeCounter(bytes, k, this.#width);
    return bytes;
  }
}

/** Checks a stream of messages: lengths and counters of all, and the checksum of those after the warm-up. */
export class Checker {
  readonly #size: number;
  readonly #width: number;
  readonly #warmup: number;
  readonly #mask: number;
  #seen: number;
  #sum = 0;
  ordered = true;

  constructor(size: number, warmup: number, first = 0) {
    this.#size = size;
    this.#width = Math.min(4, size);
    this.#mask = 2 ** (8 * this.#width) - 1;
    this.#warmup = warmup + first;
    this.#seen = first;
  }

  /** @throws Error for a message of another length */
  take(message: Uint8Array): void {
    if (message.length !== this.#size) {
      throw new Error(`message ${this.#seen} has ${message.length} bytes instead of ${this.#size}`);
    }
    let counter = 0;
    for (let i = 0; i < this.#width; i++) counter = (counter << 8) | (message[i] as number);
    if (counter >>> 0 !== (this.#seen & this.#mask) >>> 0) this.ordered = false;
    const sum = this.#seen++ === this.#warmup ? 0 : this.#sum;
    this.#sum = (sum + sample(message, this.#size)) | 0;
  }

  get checksum(): string {
    return hex(this.#sum);
  }
}

/** Checksum of the messages `first` … `first + count - 1`. */
export function expectedChecksum(size: number, first: number, count: number): string {
  const middle = size >> 1;
  const width = Math.min(4, size);
  let sum = 0;
  const byteAt = (k: number, offset: number) =>
    offset < width ? (k >>> (8 * (width - 1 - offset))) & 0xff : (31 * (k % KINDS) + offset) % 251;
  for (let k = first; k < first + count; k++) {
    sum = (sum + byteAt(k, 0) + byteAt(k, middle) + byteAt(k, size - 1)) | 0;
  }
  return hex(sum);
}

function hex(sum: number): string {
  return (sum >>> 0).toString(16).padStart(8, "0");
}
