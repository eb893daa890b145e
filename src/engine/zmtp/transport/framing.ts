/**
 * How frames travel on a stream that keeps their borders itself, such as a WebSocket. The engine's frames are ZMTP's on both
 * sides of it, so that queues, limits, mechanisms and relays are the same as on a byte stream; there is no greeting, since
 * the mechanism was agreed on in the transport's own handshake.
 *
 *   out:  the pipe's frames --cipher, if any--> encode --> the stream
 *   in:   the stream --> decode --cipher, if any--> the pipe's frames
 */
import type { StreamFault } from "../codec/in-stream.js";
import type { PooledBuffer } from "../codec/pooled-buffer.js";
import type { Fault, Mechanism } from "../mechanism/mechanism.js";

/** Bytes of ZMTP frames. */
export interface FramePiece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Frames that have come, the last perhaps in part. */
export interface DecodedFrames {
  readonly bytes: Buffer;
  readonly length: number;
  /** Of the memory, to be released by the caller; absent: it is used again after the next call of `decode`. */
  readonly pooled: PooledBuffer | undefined;
  /** The memory is the caller's; absent or false: only what `pooled` says. */
  readonly kept?: boolean;
  /** A whole frame that comes before those in `bytes`, in memory of its own, which is the caller's. */
  readonly assembled?: Buffer;
}

/** Why this side ends a connection. */
export type Farewell = "done" | "protocol" | "refused" | "too-long";

/** Of one connection. */
export interface Framing {
  /** What both ends agreed on; the handshake fails where it is not the socket's. */
  readonly mechanism: Mechanism["name"];
  /** There is no handshake: the first message of each side is its routing id. */
  readonly bare: boolean;
  /** The peer has ended the connection in the transport's own way. */
  readonly closed: boolean;
  /** Why the connection ends; what was decoded before counts. */
  readonly fault: Fault | StreamFault | undefined;
  /**
   * @param pieces whole frames; the body of one may be a piece of its own
   * @returns the wire's bytes, valid until `release` is called, or for as long as it is not
   */
  encode(pieces: readonly FramePiece[]): Uint8Array;
  /** What was encoded last has been taken. */
  release(): void;
  /** Bytes encoded beyond the peer's limit: above 0 the connection counts as full. Absent: the peer has no limit. */
  readonly excess?: number;
  /** Bytes that it keeps of a frame which comes in fragments; absent: none. */
  readonly unfinished?: number;
  /** Bytes that `decode` wants in front of `size` bytes, to put the frames where those were; absent: none. */
  headroom?(size: number): number;
  /**
   * Takes the first `length` of `bytes`, and keeps no reference to them.
   *
   * @param pooled their memory, if it is the framing's to write in, and to be kept: the frames may be there
   * @param maxSize bytes of a frame that it puts together at most; negative: such frames are thrown away
   */
  decode(bytes: Uint8Array, length: number, pooled?: PooledBuffer, maxSize?: number): DecodedFrames;
  /** What is to be sent at once, such as the answer to a ping of the transport's; asked for behind each `decode`. */
  takeReply(): Uint8Array | undefined;
  /** `false`: the peer would not answer a ping. */
  readonly pings?: boolean;
  /** What is sent to see whether the peer is there, in place of ZMTP's PING. */
  ping(): Uint8Array;
  /** What is sent last. */
  farewell(why: Farewell): Uint8Array;
}
