/**
 * WebSocket as a stream of ZMTP's bytes, for browsers: a message is a piece of it, whatever frames are in it, since each
 * message costs a page an event. A browser cannot stop the sender of a WebSocket, either, so it says how much it takes.
 *
 *   pipe --frames--> one message --> the stream, which counts as full from the peer's limit on
 *   the stream --> messages, without their headers --> pipe
 *              --> a text: the peer's limit
 */
import type { StreamFault } from "../codec/in-stream.js";
import { acquire, type PooledBuffer } from "../codec/pooled-buffer.js";
import type { Fault, Mechanism } from "../mechanism/mechanism.js";
import type { ByteStream } from "../transport/byte-stream.js";
import type { DecodedFrames, Farewell, FramePiece, Framing } from "../transport/framing.js";
import { FIRST_LIMIT } from "./subprotocol.js";
import { decodedSize, WsDecoder } from "./ws-decoder.js";
import { WsEncoder } from "./ws-encoder.js";
import {
  BINARY,
  CLOSE,
  FIN,
  headerSize,
  LENGTH_16,
  LENGTH_16_MOST,
  LENGTH_64,
  PING,
  PONG,
  TINY_MOST,
} from "./ws-frame.js";
import { CLOSE_CODES, decodeFrames } from "./ws-framing.js";

const NOTHING = Buffer.alloc(0);

/** The server's side. */
export class WsStreamFraming implements Framing {
  readonly mechanism: Mechanism["name"];
  readonly bare = false;
  /** Called where the peer takes more. */
  onLimit: () => void = ignore;
  readonly #control = new WsEncoder(undefined);
  readonly #decoder = new WsDecoder(true, true);
  #memory: PooledBuffer | undefined = undefined;
  #sent = 0;
  #limit = FIRST_LIMIT;

  constructor(mechanism: Mechanism["name"]) {
    this.mechanism = mechanism;
  }

  /** Bytes that were encoded past what the peer takes; 0 and less: it takes more. */
  get excess(): number {
    return this.#sent - this.#limit;
  }

  get closed(): boolean {
    return this.#decoder.closed !== undefined;
  }

  get fault(): Fault | StreamFault | undefined {
    return this.#decoder.fault;
  }

  encode(pieces: readonly FramePiece[]): Uint8Array {
    let size = 0;
    for (const { start, end } of pieces) size += end - start;
    const header = headerSize(size);
    const memory = acquire(header + size);
    this.#memory = memory;
    const { bytes } = memory;
    let at = writeHeader(bytes, size);
    for (const piece of pieces) {
      bytes.set(piece.bytes.subarray(piece.start, piece.end), at);
      at += piece.end - piece.start;
    }
    this.#sent += size;
    return bytes.subarray(0, at);
  }

  release(): void {
    this.#memory?.release();
    this.#memory = undefined;
  }

  headroom(size: number): number {
    return decodedSize(size) - size;
  }

  decode(bytes: Uint8Array, length: number, pooled?: PooledBuffer): DecodedFrames {
    const decoded = decodeFrames(this.#decoder, bytes, length, pooled, Number.POSITIVE_INFINITY);
    const { limit } = this.#decoder;
    if (limit !== undefined && limit !== this.#limit) {
      this.#limit = limit;
      this.onLimit();
    }
    return decoded;
  }

  takeReply(): Uint8Array | undefined {
    const { pong } = this.#decoder;
    this.#decoder.pong = undefined;
    return pong === undefined ? undefined : this.#control.control(PONG, pong);
  }

  ping(): Uint8Array {
    return this.#control.control(PING, NOTHING);
  }

  farewell(why: Farewell): Uint8Array {
    const code = CLOSE_CODES[why];
    return this.#control.control(CLOSE, Buffer.of(code >>> 8, code & 0xff));
  }
}

/** Unmasked, as a server's. @returns where the payload begins */
function writeHeader(bytes: Buffer, size: number): number {
  bytes[0] = FIN | BINARY;
  if (size <= TINY_MOST) {
    bytes[1] = size;
    return 2;
  }
  if (size <= LENGTH_16_MOST) {
    bytes[1] = LENGTH_16;
    bytes.writeUInt16BE(size, 2);
    return 4;
  }
  bytes[1] = LENGTH_64;
  bytes.writeUInt32BE(Math.floor(size / 0x1_0000_0000), 2);
  bytes.writeUInt32BE(size >>> 0, 6);
  return 10;
}

type Done = (error?: Error | null) => void;

/** A stream that takes no more than its peer does: past that it counts as full. */
export class LimitedStream implements ByteStream {
  readonly #beneath: ByteStream;
  readonly #framing: WsStreamFraming;
  /** Waits for the peer, and for nothing else. */
  #waiting: Done | undefined = undefined;

  constructor(beneath: ByteStream, framing: WsStreamFraming) {
    this.#beneath = beneath;
    this.#framing = framing;
    framing.onLimit = () => {
      const done = this.#waiting;
      if (done === undefined || framing.excess > 0) return;
      this.#waiting = undefined;
      done();
    };
  }

  get writableLength(): number {
    return this.#beneath.writableLength + Math.max(0, this.#framing.excess);
  }

  get errored(): Error | null {
    return this.#beneath.errored;
  }

  get writable(): boolean {
    return this.#beneath.writable;
  }

  write(bytes: Uint8Array, done?: Done): boolean {
    if (done === undefined) return this.#beneath.write(bytes);
    return this.#beneath.write(bytes, (error) => {
      if (this.#framing.excess > 0) this.#waiting = done;
      else done(error);
    });
  }

  cork(): void {
    this.#beneath.cork();
  }

  uncork(): void {
    this.#beneath.uncork();
  }

  end(last?: Uint8Array | (() => void)): unknown {
    return this.#beneath.end(last as () => void);
  }

  destroy(error?: Error): unknown {
    return this.#beneath.destroy(error);
  }

  pause(): unknown {
    return this.#beneath.pause();
  }

  resume(): unknown {
    return this.#beneath.resume();
  }

  on(event: "error" | "end" | "close", listener: (error: Error) => void): unknown {
    return this.#beneath.on(event as "error", listener);
  }
}

function ignore(): void {}
