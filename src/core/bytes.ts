/**
 * Whether a value is bytes, whichever realm it comes from. `instanceof` knows one realm only: a vm context, a test runner that
 * makes one for each file, and a page's frames have classes of their own.
 */

const tagOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
  ?.get as (this: unknown) => string | undefined;

/** A `Uint8Array` of any realm, and so a `Buffer`. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || tagOf.call(value) === "Uint8Array";
}

/** The memory of bytes in any form, not copied: a view of any type, or a buffer, of any realm. `undefined` for anything else. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return isMemory(value) ? new Uint8Array(value) : undefined;
}

/** An `ArrayBuffer` or `SharedArrayBuffer` of any realm. */
export function isMemory(value: unknown): value is ArrayBufferLike {
  if (value instanceof ArrayBuffer) return true;
  const tag = Object.prototype.toString.call(value);
  return tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]";
}
