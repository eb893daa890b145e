/**
 * Messages into frames, for a page: each is copied, since a WebSocket copies what it is given anyway. The build puts it in the
 * place of engine/zmtp/codec/encoder.ts (rolldown.config.js), which has large bodies written by reference and uses memory
 * again.
 *
 *   slab[start, end)   the message encoded last, until the next call
 *
 * A slab is written front to back and never rewritten: a segment keeps its part of it.
 */
import type { OutgoingFrame, OutgoingMessage } from "../engine/engine.js";
import { LONG_HEADER, MAX_SHORT, MORE, SHORT_HEADER, writeHeader } from "../engine/frame.js";

/** Bytes of the first slab, which then double, and of the largest that several messages share. */
const FIRST_SLAB_SIZE = 2_048;
const SLAB_SIZE = 32_768;

const NOTHING = Buffer.alloc(0);

/** All is copied. */
export const COPIES = false;
export const copying = <T>(offer: () => T): T => offer();
export const letGo = (): void => {};

export class Encoder {
  slab: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** Frames of the message; 0: it is not a message. */
  frames = 0;

  /** Bytes of the message on the wire. */
  get length(): number {
    return this.end - this.start;
  }

  /** Encodes the frames of `message` from the `from`th on, behind `prefix`. */
  encode(message: OutgoingMessage, from: number, prefix: readonly OutgoingFrame[] | undefined): void {
    this.start = this.end;
    this.frames = (prefix?.length ?? 0) + (Array.isArray(message) ? message.length - from : 1);
    for (const frame of prefix ?? []) this.#frame(frame, MORE);
    if (Array.isArray(message)) {
      const last = message.length - 1;
      for (let i = from; i <= last; i++) this.#frame(message[i] as OutgoingFrame, i < last ? MORE : 0);
    } else this.#frame(message as OutgoingFrame, 0);
  }

  /** Bytes that are not a message: a command's frame. */
  encodeRaw(bytes: Uint8Array | string): void {
    this.start = this.end;
    this.frames = 0;
    this.#append(Buffer.from(bytes as Uint8Array));
  }

  /** No slab is used again. */
  hold(): void {}

  /** Everything encoded has left: an idle pipe has no slab. */
  releaseSlab(): void {
    this.slab = NOTHING;
    this.start = 0;
    this.end = 0;
  }

  /** Nothing is encoded any more. */
  close(): void {
    this.releaseSlab();
  }

  #frame(frame: OutgoingFrame, flags: number): void {
    if (typeof frame !== "string") {
      this.#room(LONG_HEADER + frame.byteLength);
      this.end = writeHeader(this.slab, this.end, flags, frame.byteLength);
      this.#append(frame);
      return;
    }
    // UTF-8 takes at most three bytes for each of a string's units: short texts are written at once, then measured.
    const most = frame.length * 3;
    if (most > MAX_SHORT) {
      this.#frame(Buffer.from(frame), flags);
      return;
    }
    this.#room(SHORT_HEADER + most);
    const body = this.end + SHORT_HEADER;
    const size = this.slab.write(frame, body);
    writeHeader(this.slab, this.end, flags, size);
    this.end = body + size;
  }

  #append(bytes: Uint8Array): void {
    this.#room(bytes.byteLength);
    this.slab.set(bytes, this.end);
    this.end += bytes.byteLength;
  }

  /** Has room for `size` bytes behind what is there of the message, which moves to the next slab where this one has none. */
  #room(size: number): void {
    const { slab, start, end } = this;
    if (end + size <= slab.length) return;
    const begun = end - start;
    const shared = Math.min(SLAB_SIZE, Math.max(FIRST_SLAB_SIZE, slab.length * 2));
    this.slab = Buffer.allocUnsafe(Math.max(shared, begun * 2 + size));
    this.slab.set(slab.subarray(start, end));
    this.start = 0;
    this.end = begun;
  }
}
