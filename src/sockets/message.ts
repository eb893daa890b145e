/**
 * What a program may send, and what the engine gets.
 *
 *   Buffer, any view        that memory, as bytes: not copied, so not to be changed after the call
 *   ArrayBuffer, Shared…    its bytes
 *   string                  UTF-8
 *   number                  its decimal text
 *   null                    an empty frame
 *   array of these          a message of that many frames (1 or more)
 */
import { bytesOf, isBytes, isTransferred } from "../core/bytes.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { OutgoingFrame, OutgoingMessage } from "../engine/engine.js";

export type MessageLike = ArrayBufferView | ArrayBuffer | SharedArrayBuffer | string | number | null;

export type Message = Buffer;

const EMPTY = Buffer.alloc(0);
/** Bytes of a frame that no engine cuts into parts. */
const WHOLE = 1_024;

/** @throws InvalidArgumentError `EINVAL` for anything that is no {@link MessageLike}, or is another thread's now */
export function toFrame(value: unknown): OutgoingFrame {
  // The most frequent kind.
  if (value instanceof Uint8Array) {
    if (value.length === 0 && value.buffer.byteLength === 0 && isTransferred(value)) refuseTransferred();
    if (value.length <= WHOLE || value.constructor === Buffer || value.constructor === Uint8Array)
      return value;
    // Parts of it would be made by the constructor of the program's class.
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (typeof value === "string") return value;
  if (value === null) return EMPTY;
  if (typeof value === "number") return String(value);
  // An array of another realm is converted; engines get only this one's.
  const bytes = readableBytesOf(value);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError(
    `A frame must be bytes, a string, a number or null; got ${Array.isArray(value) ? "an array" : typeof value}`,
  );
}

function readableBytesOf(value: unknown): Uint8Array | undefined {
  try {
    return bytesOf(value);
  } catch {
    return refuseTransferred();
  }
}

function refuseTransferred(): never {
  throw new InvalidArgumentError("A frame must have its memory; got bytes whose memory was transferred");
}

/** @throws InvalidArgumentError `EINVAL` for an empty array or an invalid frame */
export function toMessage(value: unknown): OutgoingMessage {
  if (!Array.isArray(value)) return toFrame(value);
  if (value.length === 0)
    throw new InvalidArgumentError("A message has at least one frame; got an empty array");
  const frames = new Array<OutgoingFrame>(value.length);
  for (let i = 0; i < value.length; i++) frames[i] = toFrame(value[i]);
  return frames;
}

/** Bytes without framing. */
export function byteLengthOf(message: OutgoingMessage): number {
  if (isBytes(message)) return message.length;
  if (typeof message === "string") return Buffer.byteLength(message);
  let total = 0;
  for (const frame of message) total += typeof frame === "string" ? Buffer.byteLength(frame) : frame.length;
  return total;
}
