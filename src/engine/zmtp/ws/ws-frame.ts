/**
 * A WebSocket frame with one ZMQ frame in it (RFC 6455, Base Framing Protocol; 45/ZWS, Framing):
 *
 *   80 FIN + opcode 1 | 80 MASK + length 1 | length 2 or 8 | key 4, from clients | flags 1 | body
 *                       0 to 125             126: 2, 127: 8                         `- masked from here on
 *
 *   opcode: 2 binary  8 close  9 ping  A pong; all others are refused
 *           0 continues a message after a frame without FIN; joined payloads are flags and body
 *   flags: 01 MORE  02 COMMAND; control frames have none
 *
 * Pieces of ZMTP's stream (subprotocol.ts) have no flags, and may have opcode 1, text.
 */

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
export const CloseCode = { normal: 1_000, protocol: 1_002, refused: 1_008, tooLong: 1_009 } as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];
