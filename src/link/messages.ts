/**
 * Messages on a channel, each after its length in 4 bytes (docs/spec/link.md, Messages). Pure.
 *
 * Memory grows with received bytes, not with the length that the peer claims.
 */

const LENGTH = 4;
/** Bytes. */
const FIRST_MEMORY = 65_536;

export function encodeMessage(data: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(LENGTH + data.length);
  message.writeUInt32BE(data.length);
  message.set(data, LENGTH);
  return message;
}

export class MessageReader {
  readonly #maxMessage: number;
  readonly #onMessage: (message: Buffer) => void;
  readonly #head = Buffer.alloc(LENGTH);
  #headBytes = 0;
  #length = 0;
  #message: Buffer | undefined = undefined;
  #messageBytes = 0;

  constructor(maxMessage: number, onMessage: (message: Buffer) => void) {
    this.#maxMessage = maxMessage;
    this.#onMessage = onMessage;
  }

  /** Whether an end now would cut a message. */
  get isInside(): boolean {
    return this.#headBytes > 0;
  }

  /** @returns `false` for too long a message; stop reading then */
  read(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length || (this.#headBytes === LENGTH && this.#length === 0)) {
      if (this.#headBytes < LENGTH) {
        const taken = Math.min(LENGTH - this.#headBytes, chunk.length - at);
        chunk.copy(this.#head, this.#headBytes, at, at + taken);
        this.#headBytes += taken;
        at += taken;
        if (this.#headBytes < LENGTH) return true;
        this.#length = this.#head.readUInt32BE(0);
        if (this.#length > this.#maxMessage) return false;
        continue;
      }
      const end = at + this.#length;
      if (this.#message === undefined && end <= chunk.length) {
        this.#headBytes = 0;
        this.#length = 0;
        this.#onMessage(Buffer.from(chunk.subarray(at, end)));
        at = end;
        continue;
      }
      at += this.#take(chunk, at);
    }
    return true;
  }

  #take(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#length - this.#messageBytes, chunk.length - at);
    const needed = this.#messageBytes + taken;
    if (this.#message === undefined || this.#message.length < needed) {
      const size = Math.min(this.#length, Math.max(2 * needed, FIRST_MEMORY));
      const larger = Buffer.allocUnsafeSlow(size);
      this.#message?.copy(larger, 0, 0, this.#messageBytes);
      this.#message = larger;
    }
    chunk.copy(this.#message, this.#messageBytes, at, at + taken);
    this.#messageBytes = needed;
    if (needed === this.#length) {
      const message = this.#message.subarray(0, needed);
      this.#message = undefined;
      this.#messageBytes = 0;
      this.#headBytes = 0;
      this.#length = 0;
      this.#onMessage(message);
    }
    return taken;
  }
}
