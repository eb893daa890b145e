/**
 * Frames of a link, the messages in them, and the limits of both (docs/spec/link.md, Frames). Pure.
 *
 *   offset  0     1      2         4            8
 *           type  flags  length    channel id   payload: `length` bytes, at most 65,528
 *
 *   DATA    bytes of a channel; flag FIN: end of this direction
 *   OPEN    kind 1, name
 *   ACCEPT  nothing
 *   CREDIT  bytes 4: additional bytes that the peer may send
 *   RESET   code 1, reason: ends both directions of the channel
 *   PING    8 bytes, which come back with flag ANSWER
 *   GOAWAY  code 1, reason: the sender accepts no new channels
 *
 *   message   length 4 | data, on a channel of the kind MESSAGES
 */

import { owned } from "../core/bytes.js";
import { UnitReader } from "../core/unit-reader.js";

export const FRAME_HEAD = 8;
/** Payload bytes: a frame has at most 64 KiB. */
export const MAX_PAYLOAD = 65_528;
/** Payload bytes while several channels send, which bounds the wait for a turn. */
export const SHARED_PAYLOAD = 16_384;
/** UTF-8 bytes. */
export const MAX_NAME = 255;
/** Channels that the peer may open and reset at once before the link ends. */
export const RESET_BURST = 1_000;
export const MIN_WINDOW = 1_024;
export const LARGEST_WINDOW = 1_073_741_824;
/** An end that has used up its half opens no more channels. */
export const MAX_CHANNEL_ID = 0x7fff_ffff;

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

/** Whole frames are views of the chunks. */
export function frameReader(): UnitReader {
  const sizeOf = (bytes: Buffer, at: number): number => FRAME_HEAD + bytes.readUInt16BE(at + 2);
  return new UnitReader(FRAME_HEAD, FRAME_HEAD + MAX_PAYLOAD, sizeOf);
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
  readonly kind: number;
  readonly name: string;
}

export function encodeOpen({ kind, name }: OpenFields): Buffer {
  return Buffer.concat([Buffer.of(kind), Buffer.from(name)]);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function decodeOpen(payload: Buffer): OpenFields | undefined {
  const kind = payload[0] ?? 255;
  const size = payload.length - 1;
  if (kind > ChannelKind.MESSAGES || size < 1 || size > MAX_NAME) return undefined;
  try {
    return { kind, name: utf8.decode(payload.subarray(1)) };
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

const LENGTH = 4;

export function encodeMessage(data: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(LENGTH + data.length);
  message.writeUInt32BE(data.length);
  message.set(data, LENGTH);
  return message;
}

/** Memory grows with received bytes, not with the length that the peer claims. */
export class MessageReader extends UnitReader {
  constructor(maxMessage: number) {
    super(LENGTH, LENGTH + maxMessage, (bytes, at) => LENGTH + bytes.readUInt32BE(at));
  }

  /** The next whole message. */
  message(): Buffer | undefined {
    const unit = this.next();
    return unit && owned(unit.subarray(LENGTH));
  }
}
