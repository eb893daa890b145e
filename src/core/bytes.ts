/** Byte checks across realms: vm contexts, test runners and a page's frames have separate classes. */

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
