/**
 * Messages that a program has given away (`send` with `transfer`): to a socket of the same thread they pass as their frames, with no
 * framing and no copy. What else a message has in front, such as an envelope, is the socket's own, and is copied.
 */
import { slice } from "../../core/memory.js";
import type { OutgoingFrame, OutgoingMessage } from "../engine.js";

/** Node.js has the global one behind a getter, which costs 6 ns a message. */
const Bytes = Buffer;

/** A message as its frames: a lone one, or all in order. */
export type Frames = Buffer | Buffer[];

/**
 * The frames of `message` from the `from`th on, behind copies of `prefix`. A Buffer is the very object, another view becomes a
 * Buffer of its memory, and a string is encoded.
 */
export function framesOf(
  message: OutgoingMessage,
  from: number,
  prefix: readonly OutgoingFrame[] | undefined,
): Frames {
  if (prefix === undefined && !Array.isArray(message)) return frameOf(message as OutgoingFrame);
  const frames: Buffer[] = [];
  if (prefix !== undefined)
    for (let i = 0; i < prefix.length; i++) frames.push(Bytes.from(prefix[i] as Uint8Array));
  if (Array.isArray(message)) {
    for (let i = from; i < message.length; i++) frames.push(frameOf(message[i] as OutgoingFrame));
  } else frames.push(frameOf(message as OutgoingFrame));
  return frames;
}

function frameOf(frame: OutgoingFrame): Buffer {
  if (typeof frame === "string") return Bytes.from(frame);
  // What stands for `null` is one for all messages: a receiver that transferred its memory to a thread would take it from the others.
  if (frame.length === 0) return Bytes.alloc(0);
  return frame instanceof Bytes ? frame : slice(frame.buffer, frame.byteOffset, frame.length);
}
