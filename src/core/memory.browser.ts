/** Replaces core/memory.ts: memory cannot be marked here, and Buffer is shoal's class. */
import { Buffer, viewOf } from "../browser/node/buffer.js";

export { viewOf as slice };

export function allocate(size: number): Buffer {
  return Buffer.alloc(size);
}

export { allocate as allocateTransferable };

export function forbidTransfer(): void {}

export function keyOf(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  return Buffer.prototype.toString.call(bytes, "latin1", start, end);
}
