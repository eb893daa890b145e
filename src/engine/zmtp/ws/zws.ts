/**
 * What both directions of ZMQ over WebSocket share (45/ZWS; docs/spec/ws.md): subprotocols, the form of a frame, and its
 * mask. Pure.
 *
 *   name             a WebSocket message is           a mechanism's handshake   who has it
 *   ZWS2.0/NULL …    a frame of ZMQ, behind a flag    yes                       libzmq, shoal
 *   ZMTP3.1-NULL …   a piece of ZMTP's stream         yes                       shoal, in browsers
 *   ZWS2.0           a frame of ZMQ, behind a flag    no                        libzmq, shoal, all others
 *
 * "/" is illegal in a subprotocol's name, but libzmq and the RFC use it; a browser throws. Names with NULL
 * are preferred: libzmq with heartbeats aborts its process on plain ZWS2.0.
 *
 * A WebSocket frame with one ZMQ frame in it (RFC 6455, Base Framing Protocol; 45/ZWS, Framing):
 *
 *   80 FIN + opcode 1 | 80 MASK + length 1 | length 2 or 8 | key 4, from clients | flags 1 | body
 *                       0 to 125             126: 2, 127: 8                         `- masked from here on
 *
 *   opcode: 2 binary  8 close  9 ping  A pong; all others are refused
 *           0 continues a message after a frame without FIN; joined payloads are flags and body
 *   flags: 01 MORE  02 COMMAND; control frames have none
 *
 * Pieces of ZMTP's stream have no flags, and may have opcode 1, text.
 */
import type { MechanismName } from "../mechanism/mechanism.js";

/** Bytes of ZMTP's stream that may be sent before the peer's limit. */
export const FIRST_LIMIT = 1_048_576;
/** A page's text in place of a close frame. */
export const END = "end";

const BARE = "ZWS2.0";
const STREAM = "ZMTP3.1-";

/** Of a client that writes its own request. */
export function offersOf(mechanism: MechanismName): readonly string[] {
  return mechanism === "NULL" ? [`${BARE}/NULL`, BARE] : [`${BARE}/${mechanism}`];
}

/** Of a client with the `WebSocket` interface. */
export function browserOffersOf(mechanism: MechanismName): readonly string[] {
  const stream = `${STREAM}${mechanism}`;
  return mechanism === "NULL" ? [stream, BARE] : [stream];
}

/** In order of preference. */
export function acceptsOf(mechanism: MechanismName): readonly string[] {
  return [`${BARE}/${mechanism}`, ...browserOffersOf(mechanism)];
}

export function isBare(protocol: string): boolean {
  return protocol === BARE;
}

export function isStream(protocol: string): boolean {
  return protocol.startsWith(STREAM);
}

export const FIN = 0x80;
export const MASKED = 0x80;
export const RESERVED = 0x70;

export const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

/** Largest literal length, then the codes of 2-byte and 8-byte length fields. */
export const TINY_MOST = 125;
export const LENGTH_16 = 126;
export const LENGTH_64 = 127;
export const LENGTH_16_MOST = 0xffff;

/** Flags of 45/ZWS. */
export const WS_MORE = 0x01;
export const WS_COMMAND = 0x02;

export const KEY_SIZE = 4;
export const HEADER_MOST = 15;

/** @param length of the body with its flags @returns bytes of the header, without the key */
export function headerSize(length: number): number {
  return length <= TINY_MOST ? 2 : length <= LENGTH_16_MOST ? 4 : 10;
}

/** RFC 6455, Status Codes. */
export const CLOSE_NORMAL = 1_000;
export const CLOSE_PROTOCOL = 1_002;

/** Bytes up to which words beat `set`, which needs a view. */
const COPY_BY_WORDS = 128;

export class Words {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/**
 * Copies and masks bytes (RFC 6455, Client-to-Server Masking): byte i of a frame's body is combined with byte i mod 4 of
 * its key. Copying by eight words takes half the time of single words.
 *
 * @param mask the key as a little-endian word; 0: none
 */
export function copyMasked(
  source: Words,
  from: number,
  target: Words,
  to: number,
  count: number,
  mask: number,
): void {
  if (mask === 0 && count > COPY_BY_WORDS) {
    target.bytes.set(source.bytes.subarray(from, from + count), to);
    return;
  }
  const input = source.view;
  const output = target.view;
  let i = 0;
  for (const end = count - 31; i < end; i += 32) {
    const at = from + i;
    const word0 = input.getInt32(at, true);
    const word1 = input.getInt32(at + 4, true);
    const word2 = input.getInt32(at + 8, true);
    const word3 = input.getInt32(at + 12, true);
    const word4 = input.getInt32(at + 16, true);
    const word5 = input.getInt32(at + 20, true);
    const word6 = input.getInt32(at + 24, true);
    const word7 = input.getInt32(at + 28, true);
    const put = to + i;
    output.setInt32(put, word0 ^ mask, true);
    output.setInt32(put + 4, word1 ^ mask, true);
    output.setInt32(put + 8, word2 ^ mask, true);
    output.setInt32(put + 12, word3 ^ mask, true);
    output.setInt32(put + 16, word4 ^ mask, true);
    output.setInt32(put + 20, word5 ^ mask, true);
    output.setInt32(put + 24, word6 ^ mask, true);
    output.setInt32(put + 28, word7 ^ mask, true);
  }
  for (const end = count - 3; i < end; i += 4)
    output.setInt32(to + i, input.getInt32(from + i, true) ^ mask, true);
  for (; i < count; i++)
    target.bytes[to + i] = (source.bytes[from + i] as number) ^ ((mask >>> ((i & 3) * 8)) & 0xff);
}

/** @returns the mask behind `count` bytes */
export function rotate(mask: number, count: number): number {
  const bits = (count & 3) * 8;
  return bits === 0 ? mask : (mask >>> bits) | (mask << (32 - bits));
}
