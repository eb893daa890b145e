/**
 * Decodes WebSocket frames (zws.ts) into ZMTP frames. Pure.
 *
 *   chunk -> decode() -> ZMTP frames, the last one maybe in part, so that limits are checked before a body arrives
 *         -> assembled: a message in fragments from several chunks; ZMTP's header needs its whole size
 *         -> pong, closed, fault: effects of control frames and faults
 *
 * In pieces of ZMTP's stream (zws.ts) payloads pass unchanged; a text message is the peer's limit, or
 * its end (docs/spec/ws.md).
 */
import { allocate } from "../../../core/memory.js";
import { COMMAND, LONG_HEADER, MAX_SHORT, MORE, SHORT_HEADER, writeHeader } from "../../frame.js";
import type { StreamFault } from "../codec/in-stream.js";
import { type Fault, protocolFault } from "../mechanism/mechanism.js";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  copyMasked,
  END,
  FIN,
  HEADER_MOST,
  KEY_SIZE,
  LENGTH_16,
  LENGTH_16_MOST,
  LENGTH_64,
  MASKED,
  PING,
  PONG,
  RESERVED,
  rotate,
  TEXT,
  TINY_MOST,
  Words,
  WS_COMMAND,
  WS_MORE,
} from "./zws.js";

/** Upper bound on decoded bytes: an unmasked body of 256 bytes gets a longer header. */
export function decodedSize(length: number): number {
  return length + (length >>> 6) + HEADER_MOST;
}

const LIMIT = /^[0-9]{1,15}$/;
const MAX_LIMIT_DIGITS = 15;

const FIRST_ASSEMBLY = 1_024;

export class WsDecoder {
  readonly #masked: boolean;
  readonly #stream: boolean;
  readonly #header = Buffer.alloc(HEADER_MOST);
  #have = 0;
  #left = 0;
  #mask = 0;
  #fragmented = 0;
  #isFinal = true;
  /** Room for the rest of a ZMTP header, the flags, the body. */
  #assembly: Words | undefined = undefined;
  #assemblyHas = 0;
  #isOlder = false;
  #text = "";
  /** Payload of a control frame or text. */
  #control: Words | undefined = undefined;
  #opcode = 0;
  #first = 0;
  #length = 0;
  #flags = 0;
  /** Of `#decodeShort` in the target. */
  #at = 0;
  /** Of the last ping; reset by the caller. */
  pong: Buffer | undefined = undefined;
  /** The peer's close frame came, with any code. Later bytes are ignored. */
  closed = false;
  fault: Fault | StreamFault | undefined = undefined;
  /** Most bytes of a frame in fragments; negative: such frames are discarded. */
  maxSize = Number.POSITIVE_INFINITY;
  /** A ZMTP frame before the result of `decode`; reset by the caller. */
  assembled: Buffer | undefined = undefined;
  /** The peer's last limit, in bytes of ZMTP's stream. */
  limit: number | undefined = undefined;

  /** @param masked the peer is a client @param stream messages are pieces of ZMTP's stream */
  constructor(masked: boolean, stream = false) {
    this.#masked = masked;
    this.#stream = stream;
  }

  get unfinished(): number {
    return this.#assembly === undefined ? 0 : this.#assemblyHas;
  }

  /** @param target other memory, of `decodedSize(length)` bytes @returns ZMTP bytes in `target` */
  decode(bytes: Uint8Array, length: number, target: Words): number {
    if (this.closed || this.fault !== undefined) return 0;
    const source = new Words(bytes);
    let position = 0;
    let at = 0;
    this.#isOlder = this.#assembly !== undefined;
    while (position < length) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, length - position);
        const control = this.#control;
        if (control !== undefined) {
          copyMasked(source, position, control, control.bytes.length - this.#left, count, this.#mask);
        } else if (this.#assembly === undefined) {
          copyMasked(source, position, target, at, count, this.#mask);
          at += count;
        } else if (!this.#assemble(source, position, count)) break;
        this.#mask = rotate(this.#mask, count);
        this.#left -= count;
        position += count;
        if (this.#left === 0) at = this.#frameIsWhole(target, at);
        continue;
      }
      if (this.closed || this.fault !== undefined) break;
      if (this.#have > 0) {
        this.#header[this.#have++] = bytes[position++] as number;
        const whole = this.#readHeader(this.#header, 0, this.#have);
        if (whole < 0) break;
        if (whole === 0) continue;
        this.#have = 0;
        at = this.#begin(target, at);
        continue;
      }
      if (!this.#stream && this.#fragmented === 0) {
        const next = this.#decodeShort(source, position, length, target, at);
        at = this.#at;
        if (next > position) {
          position = next;
          continue;
        }
      }
      const size = this.#readHeader(bytes, position, length);
      if (size < 0) break;
      if (size === 0) {
        while (position < length) this.#header[this.#have++] = bytes[position++] as number;
        break;
      }
      at = this.#begin(target, at);
      position += size;
    }
    return at;
  }

  /**
   * Decodes whole ZWS messages of less than 126 bytes, which most are, up to the first other frame. Through `#readHeader`
   * alone a receiver of 64 B needs 8 % more processor time.
   *
   * @returns the position behind them; `#at` is that in the target
   */
  #decodeShort(source: Words, start: number, end: number, target: Words, to: number): number {
    const { bytes, view } = source;
    const output = target.bytes;
    const isMasked = this.#masked;
    const extra = (isMasked ? MASKED : 0) + 1;
    const header = isMasked ? 3 + KEY_SIZE : 3;
    let position = start;
    let at = to;
    while (position + header <= end && bytes[position] === (FIN | BINARY)) {
      const size = (bytes[position + 1] as number) - extra;
      const body = position + header;
      if (size < 0 || size >= TINY_MOST || body + size > end) break;
      let flags = bytes[body - 1] as number;
      let mask = 0;
      if (isMasked) {
        mask = view.getInt32(position + 2, true);
        flags ^= mask & 0xff;
        mask = rotate(mask, 1);
      }
      if (flags > WS_COMMAND) break;
      output[at] = zmtpFlags(flags);
      output[at + 1] = size;
      copyMasked(source, body, target, at + SHORT_HEADER, size, mask);
      at += SHORT_HEADER + size;
      position = body + size;
    }
    this.#at = at;
    return position;
  }

  /** @returns the header's size in bytes; 0: incomplete; -1: a fault */
  #readHeader(bytes: Uint8Array, at: number, end: number): number {
    const first = bytes[at] as number;
    const opcode = first & 0x0f;
    if ((first & RESERVED) !== 0) return this.#fail("a frame with reserved bits");
    const isFinal = (first & FIN) !== 0;
    const isControl = opcode >= CLOSE;
    const isContinuation = opcode === CONTINUATION;
    if (
      isControl ? opcode > PONG : !isContinuation && opcode !== BINARY && !(opcode === TEXT && this.#stream)
    )
      return this.#fail(`a frame of opcode ${opcode}; binary messages are expected`);
    if (isControl && !isFinal) return this.#fail("a control frame that is a fragment");
    if (!isControl && isContinuation !== this.#fragmented > 0)
      return this.#fail(
        isContinuation ? "a continuation of no message" : "a message between the fragments of another",
      );
    const isText = (isContinuation ? this.#fragmented : opcode) === TEXT;
    if (end - at < 2) return 0;
    const second = bytes[at + 1] as number;
    if (((second & MASKED) !== 0) !== this.#masked)
      return this.#fail(
        this.#masked ? "an unmasked frame; a client masks" : "a masked frame; a server does not mask",
      );
    const tiny = second & 0x7f;
    const field = tiny === LENGTH_16 ? 2 : tiny === LENGTH_64 ? 8 : 0;
    if (isControl && field > 0) return this.#fail(`a control frame of more than ${TINY_MOST} bytes`);
    if (isText && this.#text.length + tiny > MAX_LIMIT_DIGITS)
      return this.#fail(`a text of more than ${MAX_LIMIT_DIGITS} digits`);
    // `#assemble` checks the flags of fragments; the first may be empty.
    const flagBytes = isControl || this.#stream || isContinuation || !isFinal ? 0 : 1;
    if (tiny === 0 && flagBytes > 0) return this.#fail("a binary message without flags");
    let position = at + 2 + field;
    let length = tiny;
    if (field > 0) {
      if (position > end) return 0;
      length = longLength(bytes, at + 2, field);
      if (length <= (field === 2 ? TINY_MOST : LENGTH_16_MOST))
        return this.#fail("a frame whose length has more bytes than it needs");
      if (length > Number.MAX_SAFE_INTEGER) return this.#fail("a frame of 2^53 bytes or more");
    }
    const size = 2 + field + (this.#masked ? KEY_SIZE : 0) + flagBytes;
    if (end - at < size) return 0;
    let mask = 0;
    if (this.#masked) {
      mask =
        (bytes[position] as number) |
        ((bytes[position + 1] as number) << 8) |
        ((bytes[position + 2] as number) << 16) |
        ((bytes[position + 3] as number) << 24);
      position += KEY_SIZE;
    }
    if (flagBytes > 0) {
      this.#flags = (bytes[position] as number) ^ (mask & 0xff);
      if (this.#flags > WS_COMMAND) return this.#fail("reserved bits in a frame's flags (45/ZWS, Framing)");
      mask = (mask >>> 8) | (mask << 24);
    }
    this.#first = first;
    this.#length = length;
    this.#mask = mask;
    return size;
  }

  #begin(target: Words, to: number): number {
    const isFinal = (this.#first & FIN) !== 0;
    const isContinuation = (this.#first & 0x0f) === CONTINUATION;
    const isFragment = !isFinal || isContinuation;
    const opcode = isContinuation ? this.#fragmented : this.#first & 0x0f;
    const length = this.#length;
    if (opcode < CLOSE) {
      this.#isFinal = isFinal;
      if (isFragment && !isContinuation && !this.#stream) {
        this.#assembly = new Words(Buffer.alloc(0));
        this.#assemblyHas = 0;
      }
      if (isFragment) this.#fragmented = isFinal ? 0 : opcode;
    }
    if (opcode !== BINARY) {
      this.#opcode = opcode;
      this.#control = new Words(Buffer.alloc(length));
    }
    if (opcode !== BINARY || this.#stream || isFragment) {
      this.#left = length;
      return length === 0 ? this.#frameIsWhole(target, to) : to;
    }
    this.#left = length - 1;
    return writeHeader(target.bytes, to, zmtpFlags(this.#flags), length - 1);
  }

  #frameIsWhole(target: Words, to: number): number {
    const control = this.#control;
    if (control === undefined) return this.#assembly === undefined ? to : this.#fragmentIsWhole(target, to);
    this.#control = undefined;
    this.#controlIsWhole(control.bytes as Buffer);
    return to;
  }

  #assemble(source: Words, from: number, count: number): boolean {
    const front = LONG_HEADER - 1;
    if (this.maxSize < 0) {
      if (this.#assemblyHas > 0) this.#assembly = new Words(Buffer.alloc(0));
      this.#assemblyHas = 0;
      return true;
    }
    if (this.#assemblyHas + count > this.maxSize + 1) {
      this.fault = "too-long";
      return false;
    }
    const has = front + this.#assemblyHas;
    let assembly = this.#assembly as Words;
    if (has + count > assembly.bytes.length) {
      const twice = Math.max(FIRST_ASSEMBLY, 2 * (has + count));
      const larger = memoryOf(this.#isFinal ? Math.min(twice, has + this.#left) : twice);
      if (larger === undefined) {
        this.fault = "no-memory";
        return false;
      }
      larger.set(assembly.bytes.subarray(0, has));
      assembly = new Words(larger);
      this.#assembly = assembly;
    }
    copyMasked(source, from, assembly, has, count, this.#mask);
    this.#assemblyHas += count;
    if ((assembly.bytes[front] as number) <= WS_COMMAND) return true;
    this.#fail("reserved bits in a frame's flags (45/ZWS, Framing)");
    return false;
  }

  #fragmentIsWhole(target: Words, to: number): number {
    if (!this.#isFinal) return to;
    if (this.maxSize < 0) {
      this.#assembly = undefined;
      return to;
    }
    const { bytes } = this.#assembly as Words;
    const size = this.#assemblyHas - 1;
    this.#assembly = undefined;
    if (size < 0) {
      this.#fail("a binary message without flags");
      return to;
    }
    const start = size <= MAX_SHORT ? LONG_HEADER - SHORT_HEADER : 0;
    writeHeader(bytes, start, zmtpFlags(bytes[LONG_HEADER - 1] as number), size);
    const frame = bytes.subarray(start, LONG_HEADER + size) as Buffer;
    if (this.#isOlder) {
      this.#isOlder = false;
      this.assembled = frame;
      return to;
    }
    target.bytes.set(frame, to);
    return to + frame.length;
  }

  #controlIsWhole(payload: Buffer): void {
    if (this.#opcode === PING) this.pong = payload;
    if (this.#opcode === TEXT) {
      this.#text += payload.toString("latin1");
      if (!this.#isFinal) return;
      this.#textIs(this.#text);
      this.#text = "";
    }
    if (this.#opcode === CLOSE) this.closed = true;
  }

  #textIs(text: string): void {
    if (text === END) {
      this.closed = true;
      return;
    }
    const limit = LIMIT.test(text) ? Number(text) : -1;
    if (limit >= (this.limit ?? 0)) this.limit = limit;
    else this.#fail("a text that is not a number, or less than the one before");
  }

  #fail(what: string): -1 {
    this.fault = protocolFault("ERR_ZMTP_UNSPECIFIED", `the peer sent ${what}`);
    return -1;
  }
}

function zmtpFlags(zws: number): number {
  if (zws === WS_COMMAND) return COMMAND;
  return zws === WS_MORE ? MORE : 0;
}

function memoryOf(size: number): Buffer | undefined {
  try {
    return allocate(size);
  } catch {
    return undefined; // The connection ends with an event.
  }
}

function longLength(bytes: Uint8Array, at: number, field: number): number {
  let length = 0;
  for (let i = 0; i < field; i++) length = length * 256 + (bytes[at + i] as number);
  return length;
}
