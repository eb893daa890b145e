/**
 * ZMTP frames over the interface `WebSocket`, which exposes messages only (docs/spec/ws.md).
 *
 *   stream    a message is a piece of ZMTP's stream, both ways
 *   frames    a message is a flag byte and a frame's body: each written ZMTP frame is sent alone, from the last byte of
 *             its header on, which becomes the flag
 *
 * The interface has no pings, so ZMTP's serve in a stream.
 */

import { bodyAt, COMMAND, commandFrame, frameEnd, MORE, writeHeader } from "../engine/frame.js";
import { pingCommand } from "../engine/zmtp/heartbeat.js";
import { type Fault, type Mechanism, protocolFault } from "../engine/zmtp/mechanism/mechanism.js";
import type { DecodedFrames, FramePiece, Framing, FramingClose } from "../engine/zmtp/transport/transport.js";
import { isStream, WS_COMMAND, WS_MORE } from "../engine/zmtp/ws/zws.js";
import type { StandardWebSocket } from "./standard-web-socket.js";

/** Bytes shared by writes; larger ones allocate. */
const SCRATCH_BYTES = 65_536;
/** Header bytes with the flag. */
const MAX_HEADER = 9;

const NOTHING = Buffer.alloc(0);

/** Close codes. Among RFC 6455's codes a page may only use 1000. */
const CODES: Readonly<Record<FramingClose, number>> = {
  done: 1_000,
  protocol: 4_002,
  refused: 4_008,
  "too-long": 4_009,
};

let scratch: Uint8Array | undefined;

/** A WebSocket copies the memory within `send`. */
function scratchOf(size: number): Uint8Array {
  if (size > SCRATCH_BYTES) return new Uint8Array(size);
  scratch ??= new Uint8Array(SCRATCH_BYTES);
  return scratch;
}

export class WebSocketFraming implements Framing {
  readonly mechanism: Mechanism["name"];
  readonly stream: boolean;
  readonly bare: boolean;
  readonly closed = false;
  /** Whether the peer answers ZMTP's PING. */
  readonly pings: boolean;
  fault: Fault | undefined = undefined;
  /** Code for `close`. */
  closeCode: number = CODES.done;

  /** Whether to ask a faultless peer to close after its last message. */
  get asksForEnd(): boolean {
    return this.stream && this.closeCode === CODES.done;
  }

  /** @param protocol the negotiated one */
  constructor(mechanism: Mechanism["name"], protocol: string) {
    this.mechanism = mechanism;
    this.stream = isStream(protocol);
    this.bare = !this.stream;
    this.pings = this.stream;
  }

  /** @returns in the mode "frames" a copy, which `send` overwrites, since other peers may share the pieces */
  encode(pieces: readonly FramePiece[]): Uint8Array {
    const [only] = pieces;
    if (this.stream && pieces.length === 1 && only !== undefined)
      return only.bytes.subarray(only.start, only.end);
    let size = 0;
    for (const { start, end } of pieces) size += end - start;
    const bytes = scratchOf(size);
    let at = 0;
    for (const { bytes: from, start, end } of pieces) {
      bytes.set(from.subarray(start, end), at);
      at += end - start;
    }
    return bytes.subarray(0, at);
  }

  send(socket: StandardWebSocket, bytes: Uint8Array): void {
    if (this.stream) {
      if (bytes.length > 0) socket.send(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      const flags = bytes[at] as number;
      const start = bodyAt(bytes, at) - 1;
      at = frameEnd(bytes, at);
      bytes[start] = (flags & COMMAND) !== 0 ? WS_COMMAND : (flags & MORE) !== 0 ? WS_MORE : 0;
      socket.send(bytes.subarray(start, at));
    }
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

  /** Later input is ignored. */
  refuse(what: string): void {
    this.fault ??= protocolFault("ERR_ZMTP_UNSPECIFIED", `the peer sent ${what} (45/ZWS, Framing)`);
  }

  takeReply(): undefined {}

  ping(): Uint8Array {
    return commandFrame(pingCommand(0));
  }

  closeFrame(why: FramingClose): Uint8Array {
    this.closeCode = CODES[why];
    return NOTHING;
  }
}
