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
