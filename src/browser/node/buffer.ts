/**
 * A `Buffer` without Node.js: a Uint8Array with the methods that shoal calls and programs commonly call on frames.
 * Replaces the global one (rolldown.config.js).
 */
import { isMemory } from "../../core/bytes.js";

export type Encoding = "utf8" | "utf-8" | "latin1" | "binary" | "hex" | "base64" | "base64url";

/** Length up to which a loop beats TextEncoder and TextDecoder. */
const SHORT = 64;
/** The arguments of `String.fromCharCode` are on the stack. */
const MAX_ARGUMENTS = 4_096;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

class Bytes extends Uint8Array {
  override toString(encoding: Encoding = "utf8", start = 0, end = this.length): string {
    const to = Math.min(end, this.length);
    switch (encoding) {
      case "utf8":
      case "utf-8":
        return utf8(this, start, to);
      case "latin1":
      case "binary":
        return latin1(this, start, to);
      case "hex":
        return Array.prototype.map.call(this.subarray(start, to), (byte) => HEX[byte as number]).join("");
      case "base64":
        return btoa(latin1(this, start, to));
      case "base64url":
        return btoa(latin1(this, start, to)).replace(/[+/=]/g, (each) => URL_SAFE[each] as string);
      default:
        throw new TypeError(`Unknown encoding: ${String(encoding)}`);
    }
  }

  /** Writes as much text as fits. @returns bytes written */
  write(text: string, offset?: number, encoding?: Encoding): number;
  write(text: string, offset: number, length: number, encoding?: Encoding): number;
  write(text: string, offset = 0, length?: number | Encoding, encoding?: Encoding): number {
    const as = typeof length === "string" ? length : (encoding ?? "utf8");
    const room = Math.min(typeof length === "number" ? length : this.length, this.length - offset);
    if (as !== "utf8" && as !== "utf-8") {
      const bytes = bytesOf(text, as).subarray(0, room);
      this.set(bytes, offset);
      return bytes.length;
    }
    if (text.length <= SHORT && text.length <= room) {
      let i = 0;
      for (; i < text.length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) break;
        this[offset + i] = code;
      }
      if (i === text.length) return i;
    }
    return encoder.encodeInto(text, this.subarray(offset, offset + room)).written;
  }

  equals(other: Uint8Array): boolean {
    return compare(this, other) === 0;
  }

  compare(other: Uint8Array, start = 0, end = other.length, ownStart = 0, ownEnd = this.length): number {
    return compare(this.subarray(ownStart, ownEnd), other.subarray(start, end));
  }

  /** @returns bytes copied */
  copy(target: Uint8Array, at = 0, start = 0, end = this.length): number {
    const bytes = this.subarray(start, Math.min(end, start + target.length - at));
    target.set(bytes, at);
    return bytes.length;
  }

  /** A view, as in Node.js. */
  override slice(start?: number, end?: number): Bytes {
    return this.subarray(start, end) as Bytes;
  }

  readUInt8(at = 0): number {
    return viewOn(this).getUint8(at);
  }

  readUInt16BE(at = 0): number {
    return viewOn(this).getUint16(at);
  }

  readUInt32BE(at = 0): number {
    return viewOn(this).getUint32(at);
  }

  writeUInt8(value: number, at = 0): number {
    viewOn(this).setUint8(at, value);
    return at + 1;
  }

  writeUInt16BE(value: number, at = 0): number {
    viewOn(this).setUint16(at, value);
    return at + 2;
  }

  writeUInt32BE(value: number, at = 0): number {
    viewOn(this).setUint32(at, value);
    return at + 4;
  }

  toJSON(): { readonly type: "Buffer"; readonly data: number[] } {
    return { type: "Buffer", data: Array.from(this) };
  }
}

const URL_SAFE: Readonly<Record<string, string>> = { "+": "-", "/": "_", "=": "" };

/** Throws a RangeError as Node's methods do. */
function viewOn({ buffer, byteOffset, length }: Bytes): DataView {
  return new DataView(buffer, byteOffset, length);
}

function utf8(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= SHORT) {
    let text = "";
    let at = start;
    for (; at < end; at++) {
      const byte = bytes[at] as number;
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (at >= end) return text;
  }
  return decoder.decode(bytes.subarray(start, end));
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  if (end - start <= SHORT) {
    for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] as number);
    return text;
  }
  for (let at = start; at < end; at += MAX_ARGUMENTS)
    text += String.fromCharCode.apply(
      null,
      bytes.subarray(at, Math.min(end, at + MAX_ARGUMENTS)) as unknown as number[],
    );
  return text;
}

function bytesOf(text: string, encoding: Encoding = "utf8"): Bytes {
  switch (encoding) {
    case "utf8":
    case "utf-8": {
      const { buffer, byteOffset, length } = encoder.encode(text);
      return viewOf(buffer, byteOffset, length);
    }
    case "latin1":
    case "binary":
      return filled(text.length, (at) => text.charCodeAt(at));
    case "hex": {
      const pairs = /^(?:[0-9a-f]{2})*/i.exec(text)?.[0] ?? "";
      return filled(pairs.length / 2, (at) => Number.parseInt(pairs.slice(2 * at, 2 * at + 2), 16));
    }
    case "base64":
    case "base64url":
      return bytesOf(
        atob(
          text
            .replaceAll("-", "+")
            .replaceAll("_", "/")
            .replace(/[^A-Za-z0-9+/]/g, ""),
        ),
        "latin1",
      );
    default:
      throw new TypeError(`Unknown encoding: ${String(encoding)}`);
  }
}

function filled(size: number, byteAt: (at: number) => number): Bytes {
  const bytes = new Bytes(size);
  for (let at = 0; at < size; at++) bytes[at] = byteAt(at);
  return bytes;
}

/** The memory is not copied. */
function viewOf(memory: ArrayBufferLike, offset?: number, length?: number): Bytes {
  return new Bytes(memory as ArrayBuffer, offset, length);
}

function compare(one: Uint8Array, other: Uint8Array): number {
  const most = Math.min(one.length, other.length);
  for (let i = 0; i < most; i++)
    if (one[i] !== other[i]) return (one[i] as number) < (other[i] as number) ? -1 : 1;
  return Math.sign(one.length - other.length);
}

const statics = {
  poolSize: 0,
  /** Encodes text, copies bytes, or views memory. */
  from(value: unknown, second?: unknown, third?: unknown): Bytes {
    if (typeof value === "string") return bytesOf(value, second as Encoding | undefined);
    if (isMemory(value)) return viewOf(value, second as number | undefined, third as number | undefined);
    return new Bytes(value as ArrayLike<number>);
  },
  of: (...bytes: number[]): Bytes => new Bytes(bytes),
  alloc: (size: number): Bytes => new Bytes(size),
  allocUnsafe: (size: number): Bytes => new Bytes(size),
  allocUnsafeSlow: (size: number): Bytes => new Bytes(size),
  isBuffer: (value: unknown): value is Bytes => value instanceof Bytes,
  byteLength(value: string | ArrayBufferView | ArrayBufferLike): number {
    return typeof value === "string" ? encoder.encode(value).length : value.byteLength;
  },
  concat(list: readonly Uint8Array[], size = list.reduce((sum, { length }) => sum + length, 0)): Bytes {
    const all = new Bytes(size);
    let at = 0;
    for (const bytes of list) {
      const part = bytes.subarray(0, size - at);
      all.set(part, at);
      at += part.length;
    }
    return all;
  },
  compare,
};

// Uint8Array has methods of these names with other types.
for (const [name, value] of Object.entries(statics))
  Object.defineProperty(Bytes, name, { value, configurable: true, writable: true });

export const Buffer = Bytes as unknown as typeof globalThis.Buffer;
