/**
 * WebSocket frames (ws-frame.ts) into ZMTP frames, so that everything behind, queues, limits and mechanisms, is the same as
 * on other streams. Pure.
 *
 *   chunk -> decode() -> ZMTP frames, the last perhaps in part: its header leaves as soon as it is whole, and so is checked
 *                        against the limits before its body comes
 *         -> assembled: a message that came in fragments, which began in an earlier chunk. ZMTP's header needs the size,
 *                        which the last fragment brings, so the fragments are put together here
 *         -> pong, closed, fault: what control frames and their faults ask for
 *
 * Of a subprotocol whose messages are pieces of ZMTP's stream (subprotocol.ts) the payload is that as it is, and a text is
 * how much of it the peer takes, or its end (docs/spec/ws.md).
 *
 * A ping is answered once for each chunk: RFC 6455 wants the last one answered only (Ping).
 */
import { allocate } from "../../../core/memory.js";
import { COMMAND, LONG_HEADER, MAX_SHORT, MORE, SHORT_HEADER, writeHeader } from "../../frame.js";
import type { StreamFault } from "../codec/in-stream.js";
import { type Fault, protocolFault } from "../mechanism/mechanism.js";
import { copyMasked, rotate, Words } from "./mask.js";
import { END } from "./subprotocol.js";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
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
  TEXT,
  TINY_MOST,
  WS_COMMAND,
  WS_MORE,
} from "./ws-frame.js";

/** Stands for a close frame without a code (RFC 6455, Reserved Status Codes). */
const NO_CODE = 1_005;

/**
 * Bytes that a decoder gives for `length` bytes of the wire at most: an unmasked body of 256 bytes gets 4 more of header. What
 * it has given is at no time more than that of what it has read, so the target may begin in the same memory, so many bytes before.
 */
export function decodedSize(length: number): number {
  return length + (length >>> 6) + HEADER_MOST;
}

/** How many bytes the peer takes in all, in decimal. */
const LIMIT = /^[0-9]{1,15}$/;
const MAX_LIMIT_DIGITS = 15;

/** Bytes by which the headers of a message's fragments may exceed its payload: an endless train of empty ones is refused. */
export const MAX_FRAGMENT_OVERHEAD = 65_536;
/** Bytes of memory that a message in fragments gets first. */
const FIRST_ASSEMBLY = 1_024;

export class WsDecoder {
  readonly #masked: boolean;
  readonly #stream: boolean;
  /** A header that is not whole yet. */
  readonly #header = Buffer.alloc(HEADER_MOST);
  #have = 0;
  /** Bytes that the body of the current binary frame lacks, and its key as it is there. */
  #left = 0;
  #mask = 0;
  /** The opcode of the message whose fragments are arriving; 0: none. */
  #fragmented = 0;
  /** The current data frame is the last of its message. */
  #isFinal = true;
  /** Bytes of the fragments' headers, less those of their payloads. */
  #overhead = 0;
  /** The fragments of a message with flags: room for the rest of a ZMTP header, the flags, the body. */
  #assembly: Words | undefined = undefined;
  /** Bytes of its payload. */
  #assemblyHas = 0;
  /** It began in an earlier chunk. */
  #isOlder = false;
  #text = "";
  /** Where `#short` has got to in the target. */
  #at = 0;
  /** The payload of a control frame that is not whole yet, and its opcode. */
  #control: Buffer | undefined = undefined;
  #controlHas = 0;
  #opcode = 0;
  /** The payload of the last ping that has come, until the caller sets it to undefined. */
  pong: Buffer | undefined = undefined;
  /** The peer has closed, with this code; nothing is read any more. */
  closed: number | undefined = undefined;
  /** The peer broke the rules; nothing is read any more. */
  fault: Fault | StreamFault | undefined = undefined;
  /** Bytes that are kept of a frame in fragments at most, without its flags; negative: such frames are thrown away. */
  maxSize = Number.POSITIVE_INFINITY;
  /** A ZMTP frame whose fragments are whole; it comes before what `decode` has given. The caller sets it to undefined. */
  assembled: Buffer | undefined = undefined;
  /** Bytes of ZMTP's stream that the peer takes in all, as it said last. */
  limit: number | undefined = undefined;

  /** @param masked whether the peer is a client @param stream messages are pieces of ZMTP's stream */
  constructor(masked: boolean, stream = false) {
    this.#masked = masked;
    this.#stream = stream;
  }

  /** Bytes of a message in fragments that are kept. */
  get unfinished(): number {
    return this.#assembly === undefined ? 0 : this.#assemblyHas;
  }

  /**
   * @param target has `decodedSize(length)` bytes; other memory, or the same from `decodedSize(length) - length` before `bytes` on
   * @returns how many of them are ZMTP's
   */
  decode(bytes: Uint8Array, length: number, target: Words): number {
    if (this.closed !== undefined || this.fault !== undefined) return 0;
    const source = new Words(bytes);
    let position = 0;
    let at = 0;
    this.#isOlder = this.#assembly !== undefined;
    while (position < length) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, length - position);
        if (this.#assembly === undefined) {
          copyMasked(source, position, target, at, count, this.#mask);
          at += count;
        } else if (!this.#assemble(source, position, count)) break;
        this.#mask = rotate(this.#mask, count);
        this.#left -= count;
        position += count;
        if (this.#left === 0 && this.#assembly !== undefined) at = this.#fragmentIsWhole(target, at);
        continue;
      }
      if (this.#control !== undefined) {
        position += this.#continueControl(source, position, length);
        continue;
      }
      if (this.closed !== undefined || this.fault !== undefined) break;
      if (this.#have > 0) {
        this.#header[this.#have++] = bytes[position++] as number;
        const whole = this.#checked(this.#header, 0, this.#have);
        if (whole < 0) break;
        if (whole === 0) continue;
        this.#have = 0;
        at = this.#begin(this.#header, 0, target, at);
        continue;
      }
      if (!this.#stream && this.#fragmented === 0) {
        const next = this.#short(source, position, length, target, at);
        at = this.#at;
        if (next > position) {
          position = next;
          continue;
        }
      }
      const size = this.#checked(bytes, position, length);
      if (size < 0) break;
      if (size === 0) {
        // It goes on in the next chunk.
        while (position < length) this.#header[this.#have++] = bytes[position++] as number;
        break;
      }
      at = this.#begin(bytes, position, target, at);
      position += size;
    }
    return at;
  }

  /**
   * Short messages that are whole and have nothing wrong with them, the most frequent of all, up to the first other frame.
   *
   * @returns the position behind them; that in the target is in `#at`
   */
  #short(source: Words, start: number, end: number, target: Words, to: number): number {
    const { bytes, view: input } = source;
    const output = target.bytes;
    const isMasked = this.#masked;
    /** What the second byte has besides the length, and the flags' byte. */
    const extra = (isMasked ? MASKED : 0) + 1;
    const header = 3 + (isMasked ? KEY_SIZE : 0);
    let position = start;
    let at = to;
    while (position + header <= end && bytes[position] === (FIN | BINARY)) {
      const size = (bytes[position + 1] as number) - extra;
      const body = position + header;
      if (size < 0 || size >= TINY_MOST || body + size > end) break;
      let zws = bytes[body - 1] as number;
      let mask = 0;
      if (isMasked) {
        mask = input.getInt32(position + 2, true);
        zws ^= mask & 0xff;
        mask = (mask >>> 8) | (mask << 24);
      }
      if (zws > WS_COMMAND) break;
      output[at] = zws === WS_COMMAND ? COMMAND : zws;
      output[at + 1] = size;
      at += SHORT_HEADER;
      copyMasked(source, body, target, at, size, mask);
      at += size;
      position = body + size;
    }
    this.#at = at;
    return position;
  }

  /**
   * Looks at the header at `at`, of which what is before `end` has come.
   *
   * @returns its bytes; 0: it is not whole; -1: it is at fault
   */
  #checked(bytes: Uint8Array, at: number, end: number): number {
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
    // A message's fragments are read as they are: its flags need not be in the first.
    const flagBytes = isControl || this.#stream || isContinuation || !isFinal ? 0 : 1;
    if (tiny === 0 && flagBytes > 0) return this.#fail("a binary message without flags");
    const size = 2 + field + (this.#masked ? KEY_SIZE : 0) + flagBytes;
    if (field > 0) {
      if (end - at < 2 + field) return 0;
      const length = lengthOf(bytes, at);
      if (length <= (field === 2 ? TINY_MOST : LENGTH_16_MOST))
        return this.#fail("a frame whose length has more bytes than it needs");
      if (length > Number.MAX_SAFE_INTEGER) return this.#fail("a frame of 2^53 bytes or more");
    }
    if (end - at < size) return 0;
    if (flagBytes > 0) {
      const flags = (bytes[at + size - 1] as number) ^ (this.#masked ? (bytes[at + size - 5] as number) : 0);
      if (flags > WS_COMMAND) return this.#fail("reserved bits in a frame's flags (45/ZWS, Framing)");
    }
    return size;
  }

  /** Begins the frame whose header is at `from`, whole and checked. @returns the position in the target */
  #begin(bytes: Uint8Array, from: number, target: Words, to: number): number {
    const first = bytes[from] as number;
    const isFinal = (first & FIN) !== 0;
    const isFragment = !isFinal || (first & 0x0f) === CONTINUATION;
    const opcode = (first & 0x0f) === CONTINUATION ? this.#fragmented : first & 0x0f;
    const length = lengthOf(bytes, from);
    const tiny = (bytes[from + 1] as number) & 0x7f;
    let position = from + 2 + (tiny === LENGTH_16 ? 2 : tiny === LENGTH_64 ? 8 : 0);
    let mask = 0;
    if (this.#masked) {
      mask =
        (bytes[position] as number) |
        ((bytes[position + 1] as number) << 8) |
        ((bytes[position + 2] as number) << 16) |
        ((bytes[position + 3] as number) << 24);
      position += KEY_SIZE;
    }
    if (opcode < CLOSE) {
      this.#isFinal = isFinal;
      if (isFragment && !this.#beginFragment(opcode, position - from, length)) return to;
    }
    if (opcode !== BINARY) {
      this.#opcode = opcode;
      this.#mask = mask;
      this.#control = Buffer.alloc(length);
      this.#controlHas = 0;
      if (length === 0) this.#controlIsWhole(this.#control);
      return to;
    }
    if (this.#stream || isFragment) {
      this.#mask = mask;
      this.#left = length;
      return length === 0 && this.#assembly !== undefined ? this.#fragmentIsWhole(target, to) : to;
    }
    const zws = (bytes[position] as number) ^ (mask & 0xff);
    this.#mask = (mask >>> 8) | (mask << 24);
    this.#left = length - 1;
    return writeHeader(target.bytes, to, zmtpFlags(zws), length - 1);
  }

  /** @param header its bytes @returns whether it may come */
  #beginFragment(opcode: number, header: number, length: number): boolean {
    if (this.#fragmented === 0) {
      this.#overhead = 0;
      this.#assemblyHas = 0;
      if (!this.#stream) this.#assembly = new Words(Buffer.alloc(0));
    }
    this.#fragmented = this.#isFinal ? 0 : opcode;
    this.#overhead += header - length;
    if (this.#overhead > MAX_FRAGMENT_OVERHEAD) this.#fail("fragments with next to nothing in them");
    return this.fault === undefined;
  }

  /** Adds to the message in fragments, whose memory grows as it comes. @returns whether it could be done */
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

  /** @returns the position in the target */
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

  /** @returns how many bytes were its own */
  #continueControl(source: Words, position: number, end: number): number {
    const control = this.#control as Buffer;
    const count = Math.min(control.length - this.#controlHas, end - position);
    copyMasked(source, position, new Words(control), this.#controlHas, count, this.#mask);
    this.#mask = rotate(this.#mask, count);
    this.#controlHas += count;
    if (this.#controlHas === control.length) this.#controlIsWhole(control);
    return count;
  }

  #controlIsWhole(payload: Buffer): void {
    this.#control = undefined;
    if (this.#opcode === PING) this.pong = payload;
    if (this.#opcode === TEXT) {
      this.#text += payload.toString("latin1");
      if (!this.#isFinal) return;
      this.#textIs(this.#text);
      this.#text = "";
    }
    if (this.#opcode !== CLOSE) return;
    if (payload.length === 0) this.closed = NO_CODE;
    else if (payload.length === 1) this.#fail("a close frame of one byte");
    else {
      const code = payload.readUInt16BE(0);
      if (isCloseCode(code)) this.closed = code;
      else this.#fail(`a close frame with the code ${code}`);
    }
  }

  #textIs(text: string): void {
    if (text === END) {
      this.closed = NO_CODE;
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

/** Undefined: the process has none. */
function memoryOf(size: number): Buffer | undefined {
  try {
    return allocate(size);
  } catch {
    return undefined; // The caller ends the connection, with an event.
  }
}

/** Of the payload, from a header whose length field is whole. */
function lengthOf(bytes: Uint8Array, at: number): number {
  const tiny = (bytes[at + 1] as number) & 0x7f;
  if (tiny <= TINY_MOST) return tiny;
  if (tiny === LENGTH_16) return ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  let length = 0;
  for (let i = 2; i < 10; i++) length = length * 256 + (bytes[at + i] as number);
  return length;
}

/** Codes that may be on the wire (RFC 6455, Status Codes). */
function isCloseCode(code: number): boolean {
  if (code >= 3_000) return code < 5_000;
  return code >= 1_000 && code <= 1_014 && (code < 1_004 || code > 1_006);
}
