/**
 * Memory and views of it, where nothing can forbid its transfer, and Buffer is a class of shoal's; stands in for core/memory.ts.
 */
import { Buffer, viewOf } from "./node/buffer.js";

export { viewOf as slice };

/** Memory of its own. */
export function allocate(size: number): Buffer {
  return Buffer.alloc(size);
}

export { allocate as allocateTransferable };

export function forbidTransfer(): void {}

/** Bytes as a string of one character per byte. */
export function keyOf(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  return Buffer.prototype.toString.call(bytes, "latin1", start, end);
}
