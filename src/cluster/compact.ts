/**
 * The compact form of what nodes send: values without names, in a fixed order.
 *
 *   uint       7 bits a byte, the lowest first; up to 2^53 - 1, in as few bytes as possible
 *   uint16, uint32, uint48                   big-endian
 *   text       length uint | UTF-8           texts     count uint | each text
 *   record     names and values in turn, as texts
 *   id         as many bytes as its hexadecimal digits need
 */

import { isUtf8 } from "node:buffer";
import { readUint16, readUint32, writeUint32 } from "../core/bytes.js";
import { MAX_CONTEXT_BYTES } from "../core/message-operations.js";

const MAX_UINT_BYTES = 8;

export class Writer {
  bytes: Buffer;
  at = 0;

  constructor(size = 256) {
    this.bytes = Buffer.allocUnsafeSlow(size);
  }

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

  uint16(value: number): void {
    this.reserve(2);
    writeUint16(this.bytes, this.at, value);
    this.at += 2;
  }

  uint32(value: number): void {
    this.reserve(4);
    writeUint32(this.bytes, this.at, value);
    this.at += 4;
  }

  uint48(value: number): void {
    this.reserve(6);
    writeUint48(this.bytes, this.at, value);
    this.at += 6;
  }

  /** Length, and UTF-8. */
  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.uint(size);
    this.reserve(size);
    const { bytes, at } = this;
    this.at += size;
    // A native call takes longer than these bytes.
    if (size > 32 || size !== value.length) bytes.write(value, at);
    else for (let i = 0; i < size; i++) bytes[at + i] = value.charCodeAt(i);
  }

  texts(values: readonly string[]): void {
    this.uint(values.length);
    for (const value of values) this.text(value);
  }

  record(values: Readonly<Record<string, string>>): void {
    const names = Object.keys(values);
    this.uint(2 * names.length);
    for (const name of names) {
      this.text(name);
      this.text(values[name] as string);
    }
  }

  /** Length, and the bytes. */
  sized(value: Uint8Array): void {
    this.uint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  /** @param digits hexadecimal */
  id(digits: string): void {
    const size = digits.length / 2;
    this.reserve(size);
    this.at += this.bytes.write(digits, this.at, size, "hex");
  }

  /** Takes the written bytes with data behind them. */
  finish(data: string | Uint8Array): Buffer {
    const { at, bytes } = this;
    // First: data in transferred memory throws below, and the next item must not begin with this one.
    this.at = 0;
    const item = Buffer.allocUnsafe(at + (typeof data === "string" ? Buffer.byteLength(data) : data.length));
    // A loop takes 50 to 100 ns less than `copy`.
    if (at > 64) bytes.copy(item, 0, 0, at);
    else for (let i = 0; i < at; i++) item[i] = bytes[i] as number;
    if (typeof data === "string") item.write(data, at);
    else item.set(data, at);
    return item;
  }

  /** Takes the written bytes. */
  take(): Buffer {
    const taken = Buffer.from(this.bytes.subarray(0, this.at));
    this.at = 0;
    return taken;
  }
}

/** After a failure all values are dummies, and `failed` stays set. */
export class Reader {
  bytes: Buffer;
  end: number;
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

  /** @param max inclusive */
  uintUpTo(max: number): number {
    const value = this.uint();
    if (value > max) this.failed = true;
    return value;
  }

  byte(): number {
    if (this.at < this.end) return this.bytes[this.at++] as number;
    this.failed = true;
    return 0;
  }

  uint16(): number {
    const { at } = this;
    this.skip(2);
    return this.failed ? 0 : readUint16(this.bytes, at);
  }

  uint32(): number {
    const { at } = this;
    this.skip(4);
    return this.failed ? 0 : readUint32(this.bytes, at);
  }

  uint48(): number {
    const { at } = this;
    this.skip(6);
    return this.failed ? 0 : readUint48(this.bytes, at);
  }

  /** @param size bytes @returns hexadecimal digits */
  id(size = 16): string {
    const { at } = this;
    this.skip(size);
    return this.bytes.toString("hex", at, this.at);
  }

  skip(size: number): void {
    if (size > this.end - this.at) this.failed = true;
    else this.at += size;
  }

  /** A reader of the next bytes, which this one skips. */
  part(size: number): Reader {
    const { at } = this;
    this.skip(size);
    return new Reader(this.bytes, at, this.at);
  }

  /** As a view. */
  view(size: number): Buffer {
    if (size > this.end - this.at) {
      this.failed = true;
      return this.bytes.subarray(0, 0);
    }
    const view = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return view;
  }

  /** Of a trace, in separate memory; `undefined`: empty or too large, and ignored. */
  context(): Buffer | undefined {
    const view = this.view(this.uint());
    return view.length === 0 || view.length > MAX_CONTEXT_BYTES ? undefined : Buffer.from(view);
  }

  /** A length, and UTF-8. @param most bytes */
  text(most: number): string {
    const size = this.uint();
    const { bytes, at } = this;
    if (size > most) this.failed = true;
    else this.skip(size);
    if (this.failed) return "";
    // Most are ASCII: a view of them would take longer.
    if (isAsciiWithin(bytes, at, at + size)) return bytes.toString("latin1", at, at + size);
    const view = bytes.subarray(at, at + size);
    if (isUtf8(view)) return view.toString();
    this.failed = true;
    return "";
  }

  /** Skips the text if it is this one, of ASCII, which takes a tenth of the time of making it. @returns whether it did */
  skipText(text: string): boolean {
    const { bytes, at, end } = this;
    const { length } = text;
    if (this.failed || length > 127 || bytes[at] !== length || length >= end - at) return false;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127 || bytes[at + 1 + i] !== code) return false;
    }
    this.at += 1 + length;
    return true;
  }

  /** @param most texts @param mostBytes of each */
  texts(most: number, mostBytes: number): string[] {
    const count = this.uint();
    const found: string[] = [];
    // A text has at least one byte: a count alone allocates nothing.
    if (count > most || count > this.end - this.at) this.failed = true;
    for (let i = 0; i < count && !this.failed; i++) found.push(this.text(mostBytes));
    return found;
  }

  /** A name occurs once. @param most names @param mostBytes of all names and values together */
  record(most: number, mostBytes: number): Record<string, string> {
    const texts = this.texts(2 * most, mostBytes);
    // Without a prototype: a name may be "__proto__".
    const record = Object.create(null) as Record<string, string>;
    let bytes = 0;
    for (let i = 1; i < texts.length; i += 2) {
      const name = texts[i - 1] as string;
      const value = texts[i] as string;
      bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
      if (name in record) this.failed = true;
      record[name] = value;
    }
    if (texts.length % 2 !== 0 || bytes > mostBytes) this.failed = true;
    return record;
  }
}

function isAsciiWithin(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if ((bytes[at] as number) > 127) return false;
  return true;
}

/** Big-endian numbers that core/bytes.ts lacks. */
export function readUint48(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at) * 0x1_0000_0000 + readUint32(bytes, at + 2);
}

export function writeUint48(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at, Math.floor(value / 0x1_0000_0000));
  writeUint32(bytes, at + 2, value);
}

/** @param value its lower 16 bits are written */
export function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** @returns the end */
export function writeUint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let end = at;
  while (rest >= 268_435_456) {
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

export function sizeOfUint(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

export function sizeOfText(text: string): number {
  const bytes = Buffer.byteLength(text);
  return sizeOfUint(bytes) + bytes;
}
