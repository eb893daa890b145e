/**
 * The compact form of what messaging sends: values without field names, in the order of a schema.
 *
 *   record     mask 1..8, where the schema has optional fields | each field that is there
 *   uint       7 bits a byte, the lowest first; up to 2^53 - 1, so 8 bytes at most, and no longer than needed
 *   text       length uint | UTF-8           bytes     length uint | bytes
 *   hex        as many bytes as it has        list      count uint | each element
 *
 * Bytes after the last field that a reader knows are those of a later version: they are skipped. What is too short, too long
 * or not well-formed decodes to `undefined`, never to an error.
 *
 * Fields are closures in an array, which is good for some million values a second. What is sent for each message of a
 * program is written by hand (items.ts and service-wire.ts).
 */

import { isUtf8 } from "node:buffer";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";

/** Bytes of a number, at most. */
const MAX_UINT_BYTES = 8;
const TWO_POW_28 = 268_435_456;

/** Where a value is written. It grows. */
export class Writer {
  bytes: Buffer;
  at = 0;

  constructor(size = 256) {
    this.bytes = Buffer.allocUnsafeSlow(size);
  }

  /** Room for so many bytes more. */
  reserve(size: number): void {
    const needed = this.at + size;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.bytes.length));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }

  uint(value: number): void {
    this.reserve(MAX_UINT_BYTES);
    this.at = writeUint(this.bytes, this.at, value);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
  }

  /** Its length, and UTF-8. */
  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.uint(size);
    this.reserve(size);
    this.at += this.bytes.write(value, this.at);
  }

  /** Their number, and the bytes. */
  sized(value: Uint8Array): void {
    this.uint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  /** What was written, and data behind it, as bytes of their own; the writer begins again. */
  finish(data: string | Uint8Array): Buffer {
    const { at, bytes } = this;
    const item = Buffer.allocUnsafe(at + (typeof data === "string" ? Buffer.byteLength(data) : data.length));
    // Most heads have a few bytes: for these a loop takes 50 to 100 ns less than `copy`.
    if (at > 64) bytes.copy(item, 0, 0, at);
    else for (let i = 0; i < at; i++) item[i] = bytes[i] as number;
    if (typeof data === "string") item.write(data, at);
    else item.set(data, at);
    this.at = 0;
    return item;
  }

  /** What was written, as bytes of its own; the writer begins again. */
  take(): Buffer {
    const taken = Buffer.from(this.bytes.subarray(0, this.at));
    this.at = 0;
    return taken;
  }
}

/** Where a value is read. After a failure everything that is read is a dummy, and `failed` stays. */
export class Reader {
  readonly bytes: Buffer;
  readonly end: number;
  at: number;
  failed = false;

  constructor(bytes: Buffer, at = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  uint(): number {
    const { bytes, end } = this;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_UINT_BYTES && this.at < end; i++) {
      const byte = bytes[this.at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) {
        // A number has one form: the last byte of a longer one is not 0.
        if ((byte === 0 && i > 0) || value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    this.failed = true;
    return 0;
  }

  skip(size: number): void {
    if (size > this.end - this.at) this.failed = true;
    else this.at += size;
  }

  /** So many bytes, as a view. */
  view(size: number): Buffer {
    if (size > this.end - this.at) {
      this.failed = true;
      return this.bytes.subarray(0, 0);
    }
    const view = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return view;
  }
}

/**
 * Numbers of a fixed size, big-endian, within `bytes`: as Buffer's own methods, which check their arguments in some ten calls. A small message
 * passes four of them, and where each process handles few messages a call costs what the memory that it touches does.
 */
export function readUint48(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  return high * 0x1_0000_0000 + readUint32(bytes, at + 2);
}

export function writeUint48(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  bytes[at] = high >>> 8;
  bytes[at + 1] = high;
  writeUint32(bytes, at + 2, value);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) * 0x100_0000 + (readUint16(bytes, at + 1) << 8) + (bytes[at + 3] as number);
}

/** @param value its lower 32 bits are written */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  writeUint16(bytes, at + 2, value);
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** @param value its lower 16 bits are written */
export function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** @param value 0 to 2^53 - 1 @returns where it ends */
export function writeUint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let end = at;
  while (rest >= TWO_POW_28) {
    bytes[end++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  while (rest > 127) {
    bytes[end++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  bytes[end++] = rest;
  return end;
}

/** Bytes of a number. */
export function sizeOfUint(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

/** How values of one kind are written and read. */
export interface Field<T> {
  /** @throws InvalidArgumentError `EINVAL` for what the field cannot have */
  write(to: Writer, value: T): void;
  /** Sets `failed` for what is not one. */
  read(from: Reader): T;
  /** Whether it may be absent. */
  readonly isOptional?: true;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends { readonly isOptional: true } ? K : never;
}[keyof F];
type ValueOf<F> = F extends Field<infer T> ? T : never;
/** The values of a schema. */
export type Values<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalKeys<F>>]: ValueOf<F[K]>;
} & { readonly [K in OptionalKeys<F>]?: ValueOf<F[K]> | undefined };

/** A record's form. */
export interface Schema<F extends Fields> extends Field<Values<F>> {
  /** @throws InvalidArgumentError `EINVAL` for a value that a field cannot have */
  encode(value: Values<F>): Buffer;
  /** Appends to what a writer has. */
  write(to: Writer, value: Values<F>): void;
  /** @returns `undefined` for bytes that are not one; its bytes are views of those that were given */
  decode(bytes: Buffer, at?: number, end?: number): Values<F> | undefined;
  read(from: Reader): Values<F>;
}

/** More fields that may be absent than a mask has bits for are two records. */
const MAX_OPTIONAL = 30;

export function schema<const F extends Fields>(fields: F): Schema<F> {
  const names = Object.keys(fields);
  const codecs = Object.values(fields);
  const optional = codecs.filter((field) => field.isOptional === true).length;
  if (optional > MAX_OPTIONAL)
    throw new InvalidArgumentError(`a schema has ${MAX_OPTIONAL} optional fields at most; got ${optional}`);
  const scratch = new Writer();

  const write = (to: Writer, value: Values<F>): void => {
    const record = value as Readonly<Record<string, unknown>>;
    if (optional > 0) {
      let mask = 0;
      let bit = 0;
      for (let i = 0; i < codecs.length; i++) {
        if ((codecs[i] as Field<unknown>).isOptional !== true) continue;
        if (record[names[i] as string] !== undefined) mask |= 1 << bit;
        bit += 1;
      }
      to.uint(mask);
    }
    for (let i = 0; i < codecs.length; i++) {
      const field = codecs[i] as Field<unknown>;
      const each = record[names[i] as string];
      if (each === undefined && field.isOptional === true) continue;
      field.write(to, each);
    }
  };

  const read = (from: Reader): Values<F> => {
    const value: Record<string, unknown> = {};
    const mask = optional > 0 ? from.uint() : 0;
    let bit = 0;
    for (let i = 0; i < codecs.length && !from.failed; i++) {
      const field = codecs[i] as Field<unknown>;
      if (field.isOptional === true) {
        const isThere = (Math.floor(mask / 2 ** bit) & 1) === 1;
        bit += 1;
        if (!isThere) continue;
      }
      value[names[i] as string] = field.read(from);
    }
    return value as Values<F>;
  };

  return {
    write,
    read,
    encode(value) {
      scratch.at = 0;
      write(scratch, value);
      return scratch.take();
    },
    decode(bytes, at = 0, end = bytes.length) {
      const reader = new Reader(bytes, at, end);
      const value = read(reader);
      return reader.failed ? undefined : value;
    },
  };
}

function refuse(what: string, value: unknown): never {
  const shown = typeof value === "string" || typeof value === "number" ? JSON.stringify(value) : typeof value;
  throw new InvalidArgumentError(`${what}; got ${shown.slice(0, 100)}`);
}

/** A whole number. @param max of those that are taken */
export function uint(max: number = Number.MAX_SAFE_INTEGER): Field<number> {
  return {
    write(to, value) {
      if (!Number.isSafeInteger(value) || value < 0 || value > max)
        refuse(`a whole number from 0 to ${max} is sent here`, value);
      to.uint(value);
    },
    read(from) {
      const value = from.uint();
      if (value > max) from.failed = true;
      return value;
    },
  };
}

/** Text. @param max bytes of UTF-8 */
export function text(max: number): Field<string> {
  return {
    write(to, value) {
      const size = typeof value === "string" ? Buffer.byteLength(value) : max + 1;
      if (size > max) refuse(`text of ${max} bytes at most is sent here`, value);
      to.uint(size);
      to.reserve(size);
      to.at += to.bytes.write(value, to.at, "utf8");
    },
    read(from) {
      const size = from.uint();
      if (size > max) from.failed = true;
      if (from.failed) return "";
      const view = from.view(size);
      if (!isUtf8(view)) from.failed = true;
      return from.failed ? "" : view.toString("utf8");
    },
  };
}

/** Bytes. What is read is a view. @param max of them */
export function bytes(max: number): Field<Uint8Array> {
  return {
    write(to, value) {
      if (!isBytes(value) || value.length > max) refuse(`bytes, ${max} at most, are sent here`, value);
      to.uint(value.length);
      to.reserve(value.length);
      to.bytes.set(value, to.at);
      to.at += value.length;
    },
    read(from) {
      const size = from.uint();
      if (size > max) from.failed = true;
      return from.failed ? from.bytes.subarray(0, 0) : from.view(size);
    },
  };
}

/** Text of hexadecimal digits, such as an id. @param size bytes, two digits each */
export function hex(size: number): Field<string> {
  return {
    write(to, value) {
      if (typeof value !== "string" || value.length !== 2 * size || !/^[0-9a-f]*$/.test(value))
        refuse(`${2 * size} hexadecimal digits are sent here`, value);
      to.reserve(size);
      to.at += to.bytes.write(value, to.at, "hex");
    },
    read: (from) => from.view(size).toString("hex"),
  };
}

/** A last field, which earlier versions do not have. @param absent what it is there */
export function added<T>(field: Field<T>, absent: T): Field<T> {
  return { write: field.write, read: (from) => (from.at === from.end ? absent : field.read(from)) };
}

/** True or false: a byte. */
export function flag(): Field<boolean> {
  return {
    write: (to, value) => to.uint(value === true ? 1 : 0),
    read(from) {
      const value = from.uint();
      if (value > 1) from.failed = true;
      return value === 1;
    },
  };
}

/** Elements of one kind. @param max of them */
export function list<T>(element: Field<T>, max: number): Field<readonly T[]> {
  return {
    write(to, value) {
      if (!Array.isArray(value) || value.length > max) refuse(`a list of ${max} at most is sent here`, value);
      to.uint(value.length);
      for (const each of value as readonly T[]) element.write(to, each);
    },
    read(from) {
      const count = from.uint();
      const found: T[] = [];
      // An element has a byte at least: a count alone makes nobody allocate.
      if (count > max || count > from.end - from.at) from.failed = true;
      for (let i = 0; i < count && !from.failed; i++) found.push(element.read(from));
      return found;
    },
  };
}

/** A field that may be absent: then it costs a bit. */
export function optional<T>(field: Field<T>): Field<T> & { readonly isOptional: true } {
  return { write: field.write, read: field.read, isOptional: true };
}
