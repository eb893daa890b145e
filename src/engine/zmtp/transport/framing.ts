/**
 * How frames travel on a stream with frame borders, such as a WebSocket. Both sides of it see ZMTP frames, so that queues,
 * limits, mechanisms and relays are the same as on a byte stream. There is no greeting, since the transport's handshake
 * agrees on the mechanism.
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
  /** Owner of the memory, for the caller to release; absent: the next `decode` overwrites the memory. */
  readonly pooled: PooledBuffer | undefined;
  /** Whether the memory belongs to the caller; absent: `pooled` decides. */
  readonly kept?: boolean;
  /** A whole frame that precedes `bytes`, in memory of the caller. */
  readonly assembled?: Buffer;
}

export type Farewell = "done" | "protocol" | "refused" | "too-long";

export interface Framing {
  /** As agreed. The handshake fails unless it is the socket's. */
  readonly mechanism: Mechanism["name"];
  /** Whether routing ids replace the handshake: the first message of each side is its routing id. */
  readonly bare: boolean;
  /** Whether the peer has closed the transport, for example by a close frame. */
  readonly closed: boolean;
  /** Ends the connection; frames decoded before are valid. */
  readonly fault: Fault | StreamFault | undefined;
  /**
   * @param pieces whole frames; a body may be a separate piece
   * @returns wire bytes, valid until `release`; without `release` the caller owns them
   */
  encode(pieces: readonly FramePiece[]): Uint8Array;
  /** Frees the last result of `encode`. */
  release(): void;
  /** Encoded bytes beyond the peer's limit; the connection is full above 0. Absent: no limit. */
  readonly excess?: number;
  /** Retained bytes of a fragmented frame; absent: none. */
  readonly unfinished?: number;
  /** Room in front of `size` bytes for `decode` in place; absent: none. */
  headroom?(size: number): number;
  /**
   * Decodes the first `length` of `bytes`, and keeps no reference to them.
   *
   * @param pooled owner of `bytes`, if frames may be decoded in place and keep it
   * @param maxSize most bytes of an assembled frame; negative: such frames are discarded
   */
  decode(bytes: Uint8Array, length: number, pooled?: PooledBuffer, maxSize?: number): DecodedFrames;
  /** Bytes to send after each `decode`, such as a pong. */
  takeReply(): Uint8Array | undefined;
  /** `false`: the peer does not answer pings. */
  readonly pings?: boolean;
  ping(): Uint8Array;
  farewell(why: Farewell): Uint8Array;
}
