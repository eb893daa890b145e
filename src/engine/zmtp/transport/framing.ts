/**
 * How frames travel on a stream with frame borders, such as a WebSocket. Its handshake agrees on the
 * mechanism and replaces the greeting. The bytes of a STREAM have no frames (raw.ts): they leave as they are.
 *
 *   out:  the pipe's frames --cipher, if any--> encode --> the stream
 *   in:   the stream --> decode --cipher, if any--> the pipe's frames
 */
import type { StreamFault } from "../codec/in-stream.js";
import type { PooledBuffer } from "../codec/pooled-buffer.js";
import type { Fault, Mechanism } from "../mechanism/mechanism.js";

export interface FramePiece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export interface DecodedFrames {
  readonly bytes: Buffer;
  readonly length: number;
  /** The caller releases it; absent: the next `decode` overwrites the memory. */
  readonly pooled: PooledBuffer | undefined;
  /** The caller owns the memory; absent: `pooled` decides. */
  readonly kept?: boolean;
  /** A whole frame before `bytes`, in memory of the caller. */
  readonly assembled?: Buffer;
}

export type FramingClose = "done" | "protocol" | "refused" | "too-long";

export interface Framing {
  /** The handshake fails unless it is the socket's. */
  readonly mechanism: Mechanism["name"];
  /** No handshake: the first message of each side is its routing id. */
  readonly bare: boolean;
  /** Of a STREAM: the frame for its program at the connection's start and end, or no bytes. */
  readonly notice?: Buffer;
  readonly closed: boolean;
  /** Ends the connection; frames decoded before are valid. */
  readonly fault: Fault | StreamFault | undefined;
  /**
   * @param pieces whole frames; a body may be a separate piece
   * @returns wire bytes, valid until `release`; without `release` the caller owns them
   */
  encode?(pieces: readonly FramePiece[]): Uint8Array;
  release?(): void;
  /** Encoded bytes beyond the peer's limit; absent: no limit. */
  readonly excess?: number;
  readonly unfinished?: number;
  /** As `StreamSink.headroom`, for `decode` in place. */
  headroom?(size: number): number;
  /**
   * @param pooled owner of `bytes`, if decoded frames may keep it
   * @param maxSize most bytes of an assembled frame; negative: such frames are discarded
   */
  decode(bytes: Uint8Array, length: number, pooled?: PooledBuffer, maxSize?: number): DecodedFrames;
  /** Bytes to send after each `decode`, such as a pong. */
  takeReply?(): Uint8Array | undefined;
  /** `false`: the peer does not answer pings. */
  readonly pings?: boolean;
  ping?(): Uint8Array;
  closeFrame?(why: FramingClose): Uint8Array;
}
