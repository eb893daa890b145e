/**
 * Frames of a link (docs/spec/link.md, Frames). Pure.
 *
 *   offset  0     1      2         4            8
 *           type  flags  length    channel id   payload: `length` bytes, at most 65,528
 *
 *   DATA    bytes of a channel; flag FIN: end of this direction
 *   OPEN    urgency 1, kind 1, name
 *   ACCEPT  nothing
 *   CREDIT  bytes 4: additional bytes that the peer may send
 *   RESET   code 1, reason: ends both directions of the channel
 *   PING    8 bytes, which come back with flag ANSWER
 *   GOAWAY  code 1, reason: the sender accepts no new channels
 *
 * Bytes of DATA pass as they arrive, so a frame split over chunks costs no copy.
 */
import { FRAME_HEAD, MAX_NAME, MAX_PAYLOAD, URGENCIES } from "./bounds.js";

export const FrameType = {
  DATA: 0,
  OPEN: 1,
  ACCEPT: 2,
  CREDIT: 3,
  RESET: 4,
  PING: 5,
  GOAWAY: 6,
} as const;

export const FIN = 1;
export const ANSWER = 1;

export const LinkCode = {
  CLOSED: 0,
  /** No channel of this name is open. */
  UNKNOWN: 1,
  /** The program refused or destroyed it. */
  REFUSED: 2,
  /** The other end's limit. */
  LIMIT: 3,
  /** The wire format was violated. */
  PROTOCOL: 4,
  /** The peer was silent. */
  TIMEOUT: 5,
} as const;

export const ChannelKind = {
  BYTES: 0,
  /** Each message after its length in 4 bytes. */
  MESSAGES: 1,
} as const;

/** Receives frames. A returned text refuses a frame and ends the reading. */
export interface FrameSink {
  onDataHead(id: number, length: number, flags: number): string | undefined;
  onDataBytes(id: number, bytes: Buffer): void;
  onDataEnd(id: number, flags: number): void;
  /** Other frames; the payload is valid only during the call. */
  onControl(type: number, flags: number, id: number, payload: Buffer): string | undefined;
}

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = Buffer.alloc(FRAME_HEAD);
  #headBytes = 0;
  #type = 0;
  #flags = 0;
  #id = 0;
  #left = 0;
  #inPayload = false;
  #payload: Buffer | undefined = undefined;
  #payloadBytes = 0;
  #failure: string | undefined = undefined;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /**
   * @param chunk must not change; views are passed on
   * @returns why the stream is invalid; stop reading then
   */
  read(chunk: Buffer): string | undefined {
    let offset = 0;
    while (this.#failure === undefined) {
      if (!this.#inPayload) {
        offset = this.#readHead(chunk, offset);
        if (!this.#inPayload) break;
      }
      if (offset === chunk.length && this.#left > 0) break;
      offset =
        this.#type === FrameType.DATA ? this.#readData(chunk, offset) : this.#readControl(chunk, offset);
    }
    return this.#failure;
  }

  #readHead(chunk: Buffer, start: number): number {
    let from = chunk;
    let at = start;
    let end = start + FRAME_HEAD;
    if (this.#headBytes > 0 || chunk.length < end) {
      const taken = Math.min(FRAME_HEAD - this.#headBytes, chunk.length - start);
      chunk.copy(this.#head, this.#headBytes, start, start + taken);
      this.#headBytes += taken;
      end = start + taken;
      if (this.#headBytes < FRAME_HEAD) return end;
      this.#headBytes = 0;
      from = this.#head;
      at = 0;
    }
    this.#type = from[at] as number;
    this.#flags = from[at + 1] as number;
    this.#left = from.readUInt16BE(at + 2);
    this.#id = from.readUInt32BE(at + 4);
    this.#failure = this.#checkHead();
    this.#inPayload = this.#failure === undefined;
    return end;
  }

  #checkHead(): string | undefined {
    if (this.#type !== FrameType.DATA) {
      // A name of 255 bytes and its fields have less.
      return this.#left > 512 ? `a frame of type ${this.#type} has ${this.#left} bytes` : undefined;
    }
    if (this.#left > MAX_PAYLOAD) return `a frame of data has ${this.#left} bytes`;
    return this.#sink.onDataHead(this.#id, this.#left, this.#flags);
  }

  #readData(chunk: Buffer, start: number): number {
    const end = Math.min(start + this.#left, chunk.length);
    if (end > start) {
      this.#left -= end - start;
      this.#sink.onDataBytes(this.#id, chunk.subarray(start, end));
    }
    if (this.#left > 0) return end;
    this.#inPayload = false;
    this.#sink.onDataEnd(this.#id, this.#flags);
    return end;
  }

  #readControl(chunk: Buffer, start: number): number {
    const end = Math.min(start + this.#left, chunk.length);
    const whole = this.#payload === undefined && end - start === this.#left;
    let payload = chunk;
    if (whole) payload = chunk.subarray(start, end);
    else {
      this.#payload ??= Buffer.alloc(this.#left);
      chunk.copy(this.#payload, this.#payloadBytes, start, end);
      this.#payloadBytes += end - start;
      this.#left -= end - start;
      if (this.#left > 0) return end;
      payload = this.#payload;
    }
    this.#payload = undefined;
    this.#payloadBytes = 0;
    this.#left = 0;
    this.#inPayload = false;
    this.#failure = this.#sink.onControl(this.#type, this.#flags, this.#id, payload);
    return end;
  }
}

export function writeHead(
  target: Buffer,
  at: number,
  type: number,
  flags: number,
  length: number,
  id: number,
): void {
  target[at] = type;
  target[at + 1] = flags;
  target.writeUInt16BE(length, at + 2);
  target.writeUInt32BE(id, at + 4);
}

export function encodeControl(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD + payload.length);
  writeHead(frame, 0, type, flags, payload.length, id);
  frame.set(payload, FRAME_HEAD);
  return frame;
}

export interface OpenFields {
  readonly urgency: number;
  readonly kind: number;
  readonly name: string;
}

export function encodeOpen({ urgency, kind, name }: OpenFields): Buffer {
  return Buffer.concat([Buffer.from([urgency, kind]), Buffer.from(name)]);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function decodeOpen(payload: Buffer): OpenFields | undefined {
  const urgency = payload[0] ?? URGENCIES;
  const kind = payload[1] ?? 255;
  const size = payload.length - 2;
  if (urgency >= URGENCIES || kind > ChannelKind.MESSAGES || size < 1 || size > MAX_NAME) return undefined;
  try {
    return { urgency, kind, name: utf8.decode(payload.subarray(2)) };
  } catch {
    return undefined; // Not UTF-8: the peer's fault, which ends the connection.
  }
}

export function encodeReason(code: number, reason: string): Buffer {
  const text = Buffer.from(reason).subarray(0, 200);
  return Buffer.concat([Buffer.from([code]), text]);
}

/** Control characters become visible. */
export function decodeReason(payload: Buffer): { readonly code: number; readonly reason: string } {
  const text = payload.subarray(1).toString("utf8");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is replaced
  return { code: payload[0] ?? 0, reason: text.replace(/[\u0000-\u001f\u007f]/g, "?") };
}
