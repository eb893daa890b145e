/**
 * ZMTP's framing alone (23/ZMTP, Framing): no greeting, no handshake, no routing.
 *
 *     short   flags (0x00)  length (1 byte)              body (0 … 255 bytes)
 *     long    flags (0x02)  length (8 bytes, big-endian)  body
 *
 * The reader parses in place: a frame within one chunk is a view of it; other frames are copied once. The writer
 * collects frames in slabs, with one write per slab.
 */
import type { Socket } from "node:net";

const LONG = 0x02;
const SHORT_HEADER = 2;
const LONG_HEADER = 9;
/** Larger bodies are sent by reference, in a separate write. */
const COPY_LIMIT = 8_192;
const SLAB = 65_536;

export class FrameReader {
  readonly #onFrame: (body: Buffer) => void;
  readonly #header = Buffer.alloc(LONG_HEADER);
  #headerBytes = 0;
  #body: Buffer | undefined;
  #filled = 0;

  constructor(onFrame: (body: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  take(chunk: Buffer): void {
    let at = 0;
    const end = chunk.length;
    while (at < end) {
      if (this.#body !== undefined) {
        at += this.#fill(this.#body, chunk, at);
        continue;
      }
      if (this.#headerBytes === 0) {
        const long = chunk[at] === LONG;
        const header = long ? LONG_HEADER : SHORT_HEADER;
        if (end - at >= header) {
          const length = long ? chunk.readUInt32BE(at + 5) : (chunk[at + 1] as number);
          at += header;
          if (end - at >= length) {
            this.#onFrame(chunk.subarray(at, at + length));
            at += length;
          } else {
            this.#expect(length);
          }
          continue;
        }
      }
      // The header is split between chunks.
      this.#header[this.#headerBytes++] = chunk[at++] as number;
      const long = this.#header[0] === LONG;
      if (this.#headerBytes === (long ? LONG_HEADER : SHORT_HEADER)) {
        this.#headerBytes = 0;
        this.#expect(long ? this.#header.readUInt32BE(5) : (this.#header[1] as number));
      }
    }
  }

  #expect(length: number): void {
    this.#body = Buffer.allocUnsafeSlow(length);
    this.#filled = 0;
    if (length === 0) this.#fill(this.#body, this.#body, 0);
  }

  #fill(body: Buffer, chunk: Buffer, at: number): number {
    const copied = chunk.copy(body, this.#filled, at);
    this.#filled += copied;
    if (this.#filled === body.length) {
      this.#body = undefined;
      this.#onFrame(body);
    }
    return copied;
  }
}

export class FrameWriter {
  readonly #sockets: readonly Socket[];
  #slab = Buffer.allocUnsafeSlow(SLAB);
  #from = 0;
  #used = 0;
  #full = false;

  /** Writes to all sockets; frames are encoded once. */
  constructor(...sockets: Socket[]) {
    this.#sockets = sockets;
  }

  /**
   * Puts a frame into the slab; its bytes may be sent by reference.
   * @returns `false` when it is time to {@link flush}
   */
  write(body: Buffer): boolean {
    const { length } = body;
    const copy = length <= COPY_LIMIT;
    const room = LONG_HEADER + (copy ? length : 0);
    if (this.#used + room > SLAB) this.#push();
    const slab = this.#slab;
    if (length <= 255) {
      slab[this.#used++] = 0;
      slab[this.#used++] = length;
    } else {
      slab[this.#used++] = LONG;
      slab.writeUInt32BE(Math.floor(length / 2 ** 32), this.#used);
      slab.writeUInt32BE(length >>> 0, this.#used + 4);
      this.#used += 8;
    }
    if (copy) {
      this.#used += body.copy(slab, this.#used);
    } else {
      this.#pushUsed();
      for (const socket of this.#sockets) if (!socket.write(body)) this.#full = true;
    }
    return !this.#full && this.#used - this.#from < SLAB / 2;
  }

  /**
   * Writes the rest.
   * @returns a promise if a socket has to drain first
   */
  flush(): Promise<unknown> | undefined {
    this.#pushUsed();
    if (!this.#full) return undefined;
    this.#full = false;
    return Promise.all(this.#sockets.map(drained));
  }

  /** Writes new data; the slab continues behind it, since a pending write still reads the earlier part. */
  #pushUsed(): void {
    if (this.#used === this.#from) return;
    const part = this.#slab.subarray(this.#from, this.#used);
    this.#from = this.#used;
    for (const socket of this.#sockets) if (!socket.write(part)) this.#full = true;
  }

  #push(): void {
    this.#pushUsed();
    this.#slab = Buffer.allocUnsafeSlow(SLAB);
    this.#from = 0;
    this.#used = 0;
  }
}

function drained(socket: Socket): Promise<void> | undefined {
  if (!socket.writableNeedDrain) return undefined;
  return new Promise((resolve) => socket.once("drain", resolve));
}
