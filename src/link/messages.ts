/**
 * Messages on a channel, each after its length in 4 bytes (docs/spec/link.md, Messages). Pure.
 *
 * Memory grows with received bytes, not with the length that the peer claims.
 */

const LENGTH = 4;
const NOTHING = Buffer.alloc(0);

export function encodeMessage(data: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(LENGTH + data.length);
  message.writeUInt32BE(data.length);
  message.set(data, LENGTH);
  return message;
}

export class MessageReader {
  readonly #maxMessage: number;
  readonly #onMessage: (message: Buffer) => void;
  /** Of the message that comes; -1: its length comes first. */
  #length = -1;
  /** What earlier chunks had of the length, or of the message. */
  #memory = NOTHING;
  #bytes = 0;

  constructor(maxMessage: number, onMessage: (message: Buffer) => void) {
    this.#maxMessage = maxMessage;
    this.#onMessage = onMessage;
  }

  /** Whether an end now would cut a message. */
  get isInside(): boolean {
    return this.#length >= 0 || this.#bytes > 0;
  }

  /** @returns `false` for too long a message; stop reading then */
  read(chunk: Buffer): boolean {
    for (let at = 0; ; ) {
      const needed = this.#length < 0 ? LENGTH : this.#length;
      const isSplit = this.#bytes > 0;
      const end = at + needed - this.#bytes;
      if (isSplit || end > chunk.length) this.#keep(chunk.subarray(at, end), needed);
      if (end > chunk.length) return true;
      const whole = isSplit ? this.#memory.subarray(0, needed) : chunk.subarray(at, end);
      at = end;
      this.#bytes = 0;
      if (this.#length < 0) {
        this.#length = whole.readUInt32BE(0);
        if (this.#length > this.#maxMessage) return false;
        continue;
      }
      this.#length = -1;
      this.#memory = NOTHING;
      this.#onMessage(isSplit ? whole : Buffer.from(whole));
    }
  }

  #keep(part: Buffer, needed: number): void {
    const bytes = this.#bytes + part.length;
    if (this.#memory.length < bytes) {
      const larger = Buffer.allocUnsafeSlow(Math.min(needed, Math.max(2 * bytes, 65_536)));
      this.#memory.copy(larger, 0, 0, this.#bytes);
      this.#memory = larger;
    }
    part.copy(this.#memory, this.#bytes);
    this.#bytes = bytes;
  }
}
