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
import { COMMAND, LONG_HEADER, MAX_SHORT, SHORT_HEADER, writeHeader } from "../frame.js";
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
    const fault = sealed.push(bytes, 0, length); // Borrowed: all that is whole is taken at once.
    const bodies: { flags: number; body: Buffer }[] = [];
    let size = 0;
    let broken: StreamFault | Fault | undefined;
    while (sealed.messages > 0 && broken === undefined) {
      for (const frame of sealed.take()) {
        const opened = this.#cipher.open(frame);
        if ("code" in opened) {
          broken = opened;
          break;
        }
        bodies.push(opened);
        size += headerSize(opened.body.length) + opened.body.length;
      }
    }
    const plain = allocate(size);
    let position = 0;
    for (const { flags, body } of bodies) {
      position = writeHeader(plain, position, (flags & COMMAND) !== 0 ? COMMAND : flags, body.length);
      plain.set(body, position);
      position += body.length;
    }
    return (size > 0 ? stream.push(plain) : undefined) ?? broken ?? fault;
  }
}

/** What a connection seals and opens its frames with. */
export function sealerOf(cipher: FrameCipher): Sealer {
  return new Sealer(cipher);
}
