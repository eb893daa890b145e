/**
 * Frames given away with `transfer`, which pass to sockets of the same thread without framing or copying.
 * Frames in front of them are copied. A message of 64 KiB takes 0.8 µs of processor time instead of 52, one of
 * 64 bytes 0.4 instead of 0.7.
 */
import { slice } from "../../core/memory.js";
import type { OutgoingFrame, OutgoingMessage } from "../engine.js";

/** Node.js's global `Buffer` is a getter, which costs 6 ns per message. */
const Bytes = Buffer;

/** @returns the frames from index `from` on, after copies of `prefix` */
export function framesOf(
  message: OutgoingMessage,
  from: number,
  prefix: readonly OutgoingFrame[] | undefined,
): Buffer[] {
  if (prefix === undefined && !Array.isArray(message)) return [frameOf(message as OutgoingFrame)];
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
  // Empty frames may share one object, which must not be transferred to a thread.
  if (frame.length === 0) return Bytes.alloc(0);
  return frame instanceof Bytes ? frame : slice(frame.buffer, frame.byteOffset, frame.length);
}
