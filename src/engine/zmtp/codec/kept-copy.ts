/**
 * Copies of messages that wait until they are offered again (`send` with `copy`, when no peer has room), in memory that is used
 * again: of large messages every second or third waits, and new memory for each is found and cleared page by page.
 *
 *   keepCopy --the message waits--> takeKept, once, by the encoder --> a part that counts its references
 *                             |---> withdrawn: the collector has it
 *
 * A large frame has room for its header in front, so that both are one part.
 */

import type { OutgoingMessage } from "../../engine.js";
import { LONG_HEADER } from "../../frame.js";
import { copyOf } from "../../message-copy.js";
import { acquire, type PooledBuffer } from "./pooled-buffer.js";

/** Bodies from this size on go by reference (bench/scenarios/throughput), and a copy that waits is in such memory. */
export const BY_REFERENCE = 16_384;

/** By the frame that was made of it. */
const kept = new WeakMap<Uint8Array, PooledBuffer>();

export function keepCopy(message: OutgoingMessage): OutgoingMessage {
  return copyOf(message, keep);
}

function keep(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength < BY_REFERENCE) return Buffer.from(bytes);
  const end = LONG_HEADER + bytes.byteLength;
  const memory = acquire(end);
  const frame = memory.bytes.subarray(LONG_HEADER, end);
  frame.set(bytes);
  kept.set(frame, memory);
  return frame;
}

/** The memory of a frame that `keepCopy` made: `LONG_HEADER` bytes, then the frame. The caller has its reference; of the next call nobody. */
export function takeKept(frame: Uint8Array): PooledBuffer | undefined {
  const memory = kept.get(frame);
  if (memory !== undefined) kept.delete(frame);
  return memory;
}
