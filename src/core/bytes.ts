/** Bytes: checks of their type, big-endian numbers, hashes, and random bytes. */

/** Works across realms: vm contexts, test runners and a page's frames have separate classes. */
const tagOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
  ?.get as (this: unknown) => string | undefined;

export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || tagOf.call(value) === "Uint8Array";
}

/** The memory behind any view or buffer, not copied; `undefined` for other values. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return isMemory(value) ? new Uint8Array(value) : undefined;
}

/** Whether another thread, for example, has the memory now; such bytes are empty. */
export function isTransferred({ length, buffer }: Uint8Array): boolean {
  if (length > 0) return false;
  const { detached } = buffer as { detached?: boolean };
  if (detached !== undefined) return detached; // From Node.js 22 on.
  try {
    void new Uint8Array(buffer);
    return false;
  } catch {
    return true; // The memory cannot be read.
  }
}

export function isMemory(value: unknown): value is ArrayBufferLike {
  if (value instanceof ArrayBuffer) return true;
  const tag = Object.prototype.toString.call(value);
  return tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]";
}

/** Copied if the memory behind them is much larger. */
export function owned(bytes: Buffer): Buffer {
  return bytes.buffer.byteLength <= 4 * bytes.length ? bytes : Buffer.from(bytes);
}

type Frame = Uint8Array | string;

/** Of a message, for programs that reuse the memory they send. */
export function copyOf(message: Frame | readonly Frame[]): Frame | readonly Frame[] {
  if (typeof message === "string") return message;
  return isBytes(message) ? Buffer.from(message) : message.map((frame) => copyOf(frame) as Frame);
}

// Unsigned big-endian numbers in 1 ns; Buffer's methods take 3 to 6 ns in Node.js 20. Missing bytes count as 0.

export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/** @param value only its lowest 32 bits count */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Exact up to 2^53 - 1. */
export function readUint64(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) * 0x1_0000_0000 + readUint32(bytes, at + 4);
}

export function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, Math.floor(value / 0x1_0000_0000));
  writeUint32(bytes, at + 4, value);
}

// Hashes for table places and shards. Collisions are easy to construct: callers must compare the keys.

const OFFSET = 0x811c_9dc5;
const FACTOR = 0x0100_0193;

/**
 * For short untrusted keys, with a secret seed. In FNV-1a only the seed's low byte affects collisions; here
 * the high bits are mixed in after each byte.
 */
export function seededHash(bytes: Uint8Array, seed: number, start = 0, end: number = bytes.length): number {
  let hash = (OFFSET ^ seed) | 0;
  for (let i = start; i < end; i++) {
    hash = Math.imul(hash ^ (bytes[i] as number), FACTOR);
    hash ^= hash >>> 15;
  }
  return hash;
}

/** From 0 to 2^32 - 1, for ids that need not be secret. */
export function randomStart(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}

/** Unpredictable, from 0 to 2^32 - 1. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}

/** @param length at most 65,536 */
export function randomBytes(length: number): Buffer {
  return crypto.getRandomValues(Buffer.alloc(length));
}

/** 128 unpredictable bits in hexadecimal. */
export function randomId(): string {
  return randomBytes(16).toString("hex");
}
