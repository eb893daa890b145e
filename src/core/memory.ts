/**
 * Memory of frames, and their cost in byte budgets: the bytes + the header on the wire (37/ZMTP, Framing) + FRAME_COST.
 *
 * Frames of several messages share memory, and a transfer of one frame to a thread would detach the others. Of marked
 * memory it throws `DataCloneError`, and copies in Node.js 20. A mark costs 100 ns. Bun and pages have none.
 */
import threads from "node:worker_threads";
import { isBytes } from "./bytes.js";
import { ignore } from "./waiter.js";

type Mark = (memory: object) => void;

function findMark(): Mark {
  const { markAsUntransferable } = threads as { markAsUntransferable?: Mark };
  try {
    markAsUntransferable?.(new ArrayBuffer(1));
    return markAsUntransferable ?? ignore;
  } catch {
    return ignore; // The function exists but does not work.
  }
}

const mark = findMark();

/** glibc gives freed blocks of this size back to the kernel, and a new one then costs a page fault for each 4 KiB. */
const MAPPED = 2 ** 17;
let keepsFreed = process.platform !== "linux";

/**
 * A freed block raises that size to its own, and the memory that glibc keeps to twice as much (mallopt(3),
 * M_MMAP_THRESHOLD). Untouched, the block takes no memory. Messages of 1 MiB are received with a tenth of the faults.
 */
function keepFreed(): void {
  keepsFreed = true;
  try {
    Buffer.allocUnsafeSlow(31 * 2 ** 20); // A bundler would drop `new ArrayBuffer`.
  } catch {
    // There is no room for it.
  }
}

export function allocate(size: number): Buffer {
  if (size >= MAPPED && !keepsFreed) keepFreed();
  const bytes = Buffer.allocUnsafeSlow(size);
  mark(bytes.buffer);
  return bytes;
}

/** In new memory. */
export function copyRange(bytes: Uint8Array, start = 0, end = bytes.length): Buffer {
  const copy = allocate(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

/** The kernel reads this memory, or several messages share it. */
export function forbidTransfer({ buffer }: Uint8Array): void {
  mark(buffer);
}

/**
 * `Buffer.prototype.subarray` takes 50 ns, this half of that. `Buffer.isBuffer` holds.
 */
class View extends Uint8Array {}

Object.setPrototypeOf(View.prototype, Buffer.prototype);
Object.defineProperty(View.prototype, "constructor", { value: Buffer, writable: true, configurable: true });

const Slice = View as unknown as new (memory: ArrayBufferLike, offset: number, length: number) => Buffer;

export function slice(memory: ArrayBufferLike, offset: number, length: number): Buffer {
  return new Slice(memory, offset, length);
}

/** A latin1 string. */
export function keyOf(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  // Node.js 20 needs a Buffer here.
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString("latin1", start, end);
}

/** Bytes added to those on the wire. */
export const FRAME_COST = 64;

/** Per message, empty ones included. */
export const MAX_FRAMES = 65_536;
/** Leaves room for routing frames. */
export const MAX_FORWARDED_FRAMES = 65_472;

export function frameCost(length: number): number {
  return length + (length <= 255 ? 2 : 9) + FRAME_COST;
}

export function costOfMessage(message: Uint8Array | string | readonly (Uint8Array | string)[]): number {
  return typeof message === "string" || isBytes(message) ? costOf([message]) : costOf(message);
}

export function costOf(frames: readonly (Uint8Array | string)[], start = 0): number {
  let cost = 0;
  for (let i = start; i < frames.length; i++) {
    const frame = frames[i] as Uint8Array | string;
    cost += frameCost(typeof frame === "string" ? Buffer.byteLength(frame) : frame.length);
  }
  return cost;
}
