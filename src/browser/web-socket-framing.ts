/**
 * How frames travel on the interface `WebSocket`, which shows messages, and not their frames (docs/spec/ws.md).
 *
 *   stream    a message is a piece of ZMTP's stream, both ways
 *   frames    a message is a flag byte and a frame's body: what is written carries the messages' lengths, and
 *             web-socket-stream.ts takes them apart
 *
 * There are no pings in the interface: ZMTP's take their place where the peer knows them.
 */

import { COMMAND, commandFrame, MORE, writeHeader } from "../engine/frame.js";
import { FrameReader } from "../engine/zmtp/codec/frame-reader.js";
import type { Segment } from "../engine/zmtp/codec/out-queue.js";
import { pingCommand } from "../engine/zmtp/heartbeat.js";
import { type Fault, type Mechanism, protocolFault } from "../engine/zmtp/mechanism/mechanism.js";
import type { DecodedFrames, Farewell, FramePiece, Framing } from "../engine/zmtp/transport/framing.js";
import { isBare, isStream } from "../engine/zmtp/ws/subprotocol.js";
import { WS_COMMAND, WS_MORE } from "../engine/zmtp/ws/ws-frame.js";

/** Bytes that stand in front of each message that is written: its length. */
export const LENGTH_BYTES = 4;
/** Bytes of memory that writes share; a larger one has its own. */
const SCRATCH_BYTES = 65_536;
/** A header and its flag at most. */
const MAX_HEADER = 9;

const NOTHING = Buffer.alloc(0);

/** Why this side closes, as a page may say it: RFC 6455's own codes are the browser's. */
const CODES: Readonly<Record<Farewell, number>> = {
  done: 1_000,
  protocol: 4_002,
  refused: 4_008,
  "too-long": 4_009,
};

let scratch: Uint8Array | undefined;

/** Memory for one write: a WebSocket has copied it when `send` returns. */
function scratchOf(size: number): Uint8Array {
  if (size > SCRATCH_BYTES) return new Uint8Array(size);
  scratch ??= new Uint8Array(SCRATCH_BYTES);
  return scratch;
}

export class WebSocketFraming implements Framing {
  readonly mechanism: Mechanism["name"];
  readonly bare: boolean;
  /** A message is a piece of ZMTP's stream. */
  readonly stream: boolean;
  readonly closed = false;
  /** Whether the peer answers ZMTP's PING. */
  readonly pings: boolean;
  fault: Fault | undefined = undefined;
  /** What `close` is to say. */
  closeCode: number = CODES.done;
  readonly #frames = new FrameReader();

  /** Whether the peer is to close, behind what it has sent: where this side has nothing to complain of. */
  get asksForEnd(): boolean {
    return this.stream && this.closeCode === CODES.done;
  }

  /** @param protocol that was agreed on */
  constructor(mechanism: Mechanism["name"], protocol: string) {
    this.mechanism = mechanism;
    this.bare = isBare(protocol);
    this.stream = isStream(protocol);
    this.pings = !this.bare;
  }

  encode(pieces: readonly FramePiece[]): Uint8Array {
    return this.stream ? joined(pieces) : this.#messages(pieces);
  }

  #messages(pieces: readonly FramePiece[]): Uint8Array {
    const frames = this.#frames.read(pieces as readonly Segment[]);
    let size = 0;
    for (const { body } of frames) size += LENGTH_BYTES + 1 + body.length;
    const bytes = scratchOf(size);
    let at = 0;
    for (const { flags, body } of frames) {
      const length = body.length + 1;
      bytes[at] = length >>> 24;
      bytes[at + 1] = length >>> 16;
      bytes[at + 2] = length >>> 8;
      bytes[at + 3] = length;
      bytes[at + 4] = (flags & COMMAND) !== 0 ? WS_COMMAND : (flags & MORE) !== 0 ? WS_MORE : 0;
      bytes.set(body, at + LENGTH_BYTES + 1);
      at += LENGTH_BYTES + length;
    }
    return bytes.subarray(0, at);
  }

  release(): void {}

  /** @param bytes one message */
  decode(bytes: Uint8Array, length: number): DecodedFrames {
    if (this.stream || this.fault !== undefined)
      return {
        bytes: bytes as Buffer,
        length: this.fault === undefined ? length : 0,
        pooled: undefined,
        kept: true,
      };
    const flags = bytes[0];
    if (flags === undefined || flags > WS_COMMAND) {
      this.refuse(flags === undefined ? "a message without flags" : "reserved bits in a frame's flags");
      return { bytes: NOTHING, length: 0, pooled: undefined };
    }
    const frame = Buffer.allocUnsafe(length - 1 + MAX_HEADER);
    const zmtp = flags === WS_COMMAND ? COMMAND : flags === WS_MORE ? MORE : 0;
    const at = writeHeader(frame, 0, zmtp, length - 1);
    frame.set(bytes.subarray(1, length), at);
    return { bytes: frame, length: at + length - 1, pooled: undefined, kept: true };
  }

  /** The peer broke the rules: what comes is not read any more. */
  refuse(what: string): void {
    this.fault ??= protocolFault("ERR_ZMTP_UNSPECIFIED", `the peer sent ${what} (45/ZWS, Framing)`);
  }

  takeReply(): undefined {}

  ping(): Uint8Array {
    const frame = commandFrame(pingCommand(0));
    return Uint8Array.from(this.encode([{ bytes: frame, start: 0, end: frame.length }]));
  }

  farewell(why: Farewell): Uint8Array {
    this.closeCode = CODES[why];
    return NOTHING;
  }
}

function joined(pieces: readonly FramePiece[]): Uint8Array {
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) return only.bytes.subarray(only.start, only.end);
  let size = 0;
  for (const { start, end } of pieces) size += end - start;
  const bytes = scratchOf(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece.bytes.subarray(piece.start, piece.end), at);
    at += piece.end - piece.start;
  }
  return bytes.subarray(0, at);
}
