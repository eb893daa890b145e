/**
 * Copies of messages that wait to be offered again (`send` with `copy`), in reusable memory: the kernel
 * clears new memory page by page.
 *
 *   keepCopy --the message waits--> takeKept, once, by the encoder --> a part that counts its references
 *                             |---> withdrawn: the collector has it
 *
 * A large frame has room for its header in front.
 */

import type { OutgoingMessage } from "../../engine.js";
import { LONG_HEADER } from "../../frame.js";
import { copyOf } from "../../message-copy.js";
import { acquire, type PooledBuffer } from "./pooled-buffer.js";

/** Bodies of at least this size go by reference (bench/scenarios/throughput). */
export const BY_REFERENCE = 16_384;

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

/** @returns `LONG_HEADER` bytes, then the frame; once, with a reference for the caller */
export function takeKept(frame: Uint8Array): PooledBuffer | undefined {
  const memory = kept.get(frame);
  if (memory !== undefined) kept.delete(frame);
  return memory;
}
