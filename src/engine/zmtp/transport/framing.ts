/**
 * How frames travel on a stream that keeps their borders itself, such as a WebSocket: there is no greeting, and no header of
 * ZMTP's. The mechanism was agreed on in the transport's own handshake; its commands, and all that follows, are frames
 * (framed.ts).
 *
 *   out:  plain frame --cipher, if any--> header, body, finish --> the stream
 *   in:   the stream --read--> onFrame(flags, body) --cipher, if any--> plain frame
 */
import type { Fault } from "../mechanism/mechanism.js";

/**
 * Gets a frame: MORE and COMMAND of its flags, and its body, which is valid until `read` returns, and may be overwritten.
 *
 * @returns whether to go on; after `false` what follows is kept for the next `read`
 */
export type OnFrame = (flags: number, body: Buffer) => boolean;

/** Of one connection. */
export interface Framing {
  /** The mechanism that both ends agreed on, such as "CURVE"; the handshake fails where it is not the socket's. */
  readonly mechanism: string;
  /** Bytes that came and were not handed on: they count in the receive queue. */
  readonly unfinished: number;
  /** Where what is to be sent at once goes, such as the answer to a ping of the transport's; the connection sets it first. */
  onReply: ((bytes: Uint8Array) => void) | undefined;
  /** Bytes of a frame's header for a body of `length`. */
  headerLength(length: number): number;
  /** Writes a frame's header. @param flags MORE and COMMAND @returns where the body goes */
  writeHeader(target: Buffer, position: number, flags: number, length: number): number;
  /** The body is in its place, from `from` to `to`: a chance to mask it. */
  finish(target: Buffer, from: number, to: number): void;
  /**
   * Takes the first `length` of `bytes`, and keeps no reference to them; hands on each whole frame, those that an earlier call
   * kept first.
   *
   * @param limit bytes of a frame's body at most
   * @returns why the connection ends; frames before that were handed on
   */
  read(bytes: Uint8Array, length: number, limit: number, onFrame: OnFrame): Fault | undefined;
  /** What is sent to see whether the peer is there, in place of a PING of ZMTP; absent: that. */
  ping?(): Uint8Array;
  /** What is sent last, before this side ends its half; absent: nothing. */
  farewell?(): Uint8Array;
}
