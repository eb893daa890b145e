/**
 * Frames through a cipher: the pipe's plain frames on one side, on the wire
 * MESSAGE bodies in message frames (26/CURVEZMQ; flags 00, as libzmq sends them).
 * So everything behind it, queues and limits, is the same with and without
 * encryption.
 *
 *   pipe.out --plain frames--> seal() --> the kernel
 *   the kernel --> open() --plain frames--> pipe.in
 */

import { allocate } from "../../core/memory.js";
import { COMMAND, LONG, LONG_HEADER, MAX_SHORT, readLongSize, SHORT_HEADER, writeHeader } from "../frame.js";
import { FrameReader } from "./codec/frame-reader.js";
import { InStream, type StreamFault } from "./codec/in-stream.js";
import type { Segment } from "./codec/out-queue.js";
import type { Fault, FrameCipher } from "./mechanism/mechanism.js";

/** What sealing adds to a body at most. */
const OVERHEAD = 64;

function headerSize(length: number): number {
  return length <= MAX_SHORT ? SHORT_HEADER : LONG_HEADER;
}

export class Sealer {
  readonly #cipher: FrameCipher;
  readonly #plain = new FrameReader();
  #sealed: InStream | undefined;

  constructor(cipher: FrameCipher) {
    this.#cipher = cipher;
  }

  /** @returns the wire's bytes for whole plain frames; its own memory each time */
  seal(segments: readonly Segment[]): Buffer {
    const cipher = this.#cipher;
    const frames = this.#plain.read(segments);
    let size = 0;
    for (const { body } of frames) {
      const length = cipher.sealedLength(body.length);
      size += headerSize(length) + length;
    }
    const wire = Buffer.allocUnsafeSlow(size);
    let position = 0;
    for (const { flags, body } of frames) {
      const length = cipher.sealedLength(body.length);
      position = writeHeader(wire, position, 0, length);
      cipher.seal(flags, body, wire, position);
      position += length;
    }
    return wire;
  }

  /** Opens what came, the first `length` of `bytes`, and pushes the plain frames into `stream`. */
  open(bytes: Uint8Array, stream: InStream, length = bytes.length): StreamFault | Fault | undefined {
    // A limit for one sealed frame, that of plain messages and what sealing adds; plain ones are checked in `stream`.
    this.#sealed ??= new InStream(stream.maxMessageSize + OVERHEAD, () => undefined);
    const sealed = this.#sealed;
    stream.outer = sealed;
    sealed.limit(stream.maxMessageSize + OVERHEAD); // It may have changed.
    const position = sealed.unfinished > 0 ? 0 : this.#openWhole(bytes, length, stream);
    if (typeof position !== "number") return position;
    // A command among them may have ended the connection: the frame that began behind it is nobody's.
    if (position === length || stream.outer !== sealed) return undefined;
    const fault = sealed.push(bytes, position, length); // Borrowed: all that is whole is taken at once.
    const frames: Buffer[] = [];
    let size = 0;
    while (sealed.messages > 0) {
      for (const frame of sealed.take()) {
        frames.push(frame);
        size += this.#plainSize(frame.length);
      }
    }
    if (frames.length === 0) return fault;
    const plain = allocate(size);
    let end = 0;
    for (const frame of frames) {
      const next = this.#openOne(frame, 0, frame.length, plain, end);
      if (typeof next !== "number") return (end > 0 ? stream.push(plain, 0, end) : undefined) ?? next;
      end = next;
    }
    return stream.push(plain, 0, end) ?? fault;
  }

  /**
   * Opens the frames that are whole and have nothing peculiar, where they came.
   *
   * @returns where the first other one begins, or a fault
   */
  #openWhole(bytes: Uint8Array, length: number, stream: InStream): number | StreamFault | Fault {
    const most = stream.maxMessageSize + OVERHEAD;
    let size = 0;
    let whole = 0;
    for (;;) {
      const body = bodyAt(bytes, whole, length);
      const to = body + sizeAt(bytes, whole, body);
      if (body === 0 || to > length || to - body > most) break;
      size += this.#plainSize(to - body);
      whole = to;
    }
    if (whole === 0) return 0;
    const plain = allocate(size);
    let end = 0;
    for (let position = 0; position < whole; ) {
      const body = bodyAt(bytes, position, whole);
      const to = body + sizeAt(bytes, position, body);
      const next = this.#openOne(bytes, body, to, plain, end);
      if (typeof next !== "number") return (end > 0 ? stream.push(plain, 0, end) : undefined) ?? next;
      end = next;
      position = to;
    }
    return stream.push(plain, 0, end) ?? whole;
  }

  /** Bytes of the plain frame in a sealed body of `length`. */
  #plainSize(length: number): number {
    const body = Math.max(0, this.#cipher.plainLength(length));
    return headerSize(body) + body;
  }

  /** Writes the plain frame of a sealed body to `at`. @returns its end, or a fault */
  #openOne(sealed: Uint8Array, from: number, to: number, plain: Uint8Array, at: number): number | Fault {
    const cipher = this.#cipher;
    const length = cipher.plainLength(to - from);
    // The byte in front of the plain body is the header's last, and is written when the flags are known.
    const opened = cipher.open(sealed, from, to, plain, at + headerSize(length) - 1);
    if (typeof opened !== "number") return opened;
    return writeHeader(plain, at, (opened & COMMAND) !== 0 ? COMMAND : opened, length) + length;
  }
}

/** Where the body of the frame at `position` begins; 0: its header is not whole, or not a message's. */
function bodyAt(bytes: Uint8Array, position: number, end: number): number {
  const flags = bytes[position] as number;
  const body = position + (flags === 0 ? SHORT_HEADER : LONG_HEADER);
  return (flags & ~LONG) === 0 && body <= end ? body : 0;
}

function sizeAt(bytes: Uint8Array, position: number, body: number): number {
  return body - position === SHORT_HEADER
    ? (bytes[position + 1] as number)
    : readLongSize(bytes, position + 1);
}

/** What a connection seals and opens its frames with. */
export function sealerOf(cipher: FrameCipher): Sealer {
  return new Sealer(cipher);
}
