/**
 * Memory that frames of several messages share, such as a chunk that came or a slab that leaves; views of it, and keys of
 * bytes.
 *
 * A program that transfers one frame to a thread, `postMessage(frame, [frame.buffer])`, would take it from all the others:
 * they would be empty, and reading or writing them would throw. So it is marked: to transfer it throws a `DataCloneError`
 * in Node.js 21 and later, and copies in Node.js 20. Its own pool of small buffers is marked the same way.
 *
 * A mark costs some 100 ns, where the memory itself costs 2 to 20 µs, and is made once for it. Bun has none.
 */
import threads from "node:worker_threads";

type Mark = (memory: object) => void;

function findMark(): Mark {
  const { markAsUntransferable } = threads as { markAsUntransferable?: Mark };
  try {
    markAsUntransferable?.(new ArrayBuffer(1));
    return markAsUntransferable ?? ignore;
  } catch {
    return ignore; // There by name only.
  }
}

function ignore(): void {}

const mark = findMark();

/** Memory of its own; what is in it is anything. */
export function allocate(size: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(size);
  mark(bytes.buffer);
  return bytes;
}

/** The same for what is transferred to another thread: no other bytes are in its memory. */
export function allocateTransferable(size: number): Buffer {
  return Buffer.allocUnsafeSlow(size);
}

/** The memory of `bytes` can no longer be transferred: the kernel reads it, or frames of several messages share it. */
export function forbidTransfer({ buffer }: Uint8Array): void {
  mark(buffer);
}

/**
 * Views of received bytes. `Buffer.prototype.subarray` takes 50 ns; a class of
 * our own with Buffer's methods takes half (bench/micro/slice.js), and is a
 * Buffer to `instanceof`, `Buffer.isBuffer` and everything Buffers can do.
 */
class View extends Uint8Array {}

Object.setPrototypeOf(View.prototype, Buffer.prototype);
Object.defineProperty(View.prototype, "constructor", { value: Buffer, writable: true, configurable: true });

const Slice = View as unknown as new (memory: ArrayBufferLike, offset: number, length: number) => Buffer;

/** The bytes of `memory` from `offset` on; not copied. */
export function slice(memory: ArrayBufferLike, offset: number, length: number): Buffer {
  return new Slice(memory, offset, length);
}

/** Bytes as a string of one character per byte: a key for tables, equal exactly where the bytes are. */
export function keyOf(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  // A program's array need not be a Buffer: Node.js 20 reads Buffers only.
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString("latin1", start, end);
}
