/**
 * ZMQ on a WebSocket (45/ZWS; docs/spec/ws.md).
 *
 *   frames   a message is a frame of ZMQ, behind its flags
 *   stream   a message is a piece of ZMTP's stream: each message costs a browser's page an event
 *
 * Frames are not those of the package `ws`, which masks byte by byte without its native addon and makes objects of each
 * frame: a masked one of 64 B, 1 KiB, 64 KiB takes it 0.2, 2.0 and 220 µs to write and 0.4, 2.2 and 140 to read; here
 * 0.04, 0.28 and 15 each.
 */
import { allocate } from "../../../core/memory.js";
import type { StreamFault } from "../codec/in-stream.js";
import { acquire, type PooledBuffer } from "../codec/pooled-buffer.js";
import { DIRECT } from "../codec/split-frame.js";
import type { Fault, Mechanism } from "../mechanism/mechanism.js";
import type { DecodedFrames, FramePiece, Framing, FramingClose } from "../transport/framing.js";
import { decodedSize, WsDecoder } from "./ws-decoder.js";
import { type RandomWord, WsEncoder } from "./ws-encoder.js";
import { CLOSE, CloseCode, FIRST_LIMIT, isBare, isStream, PING, PONG, Words } from "./zws.js";

const NOTHING = Buffer.alloc(0);

const CLOSE_CODES: Readonly<Record<FramingClose, CloseCode>> = {
  done: CloseCode.normal,
  protocol: CloseCode.protocol,
  refused: CloseCode.refused,
  "too-long": CloseCode.tooLong,
};

/** For small chunks: the pipe copies their frames. */
let shared: Words | undefined;

export class WsFraming implements Framing {
  readonly mechanism: Mechanism["name"];
  readonly bare: boolean;
  readonly #stream: boolean;
  readonly #encoder: WsEncoder;
  readonly #decoder: WsDecoder;
  #sent = 0;

  /** @param key of masks, on a client */
  constructor(mechanism: Mechanism["name"], protocol: string, key?: RandomWord) {
    this.mechanism = mechanism;
    this.bare = isBare(protocol);
    this.#stream = isStream(protocol);
    this.#encoder = new WsEncoder(key);
    this.#decoder = new WsDecoder(key === undefined, this.#stream);
  }

  get excess(): number {
    return this.#sent - (this.#decoder.limit ?? FIRST_LIMIT);
  }

  get closed(): boolean {
    return this.#decoder.closed !== undefined;
  }

  get fault(): Fault | StreamFault | undefined {
    return this.#decoder.fault;
  }

  get unfinished(): number {
    return this.#decoder.unfinished;
  }

  encode(pieces: readonly FramePiece[]): Uint8Array {
    if (!this.#stream) return this.#encoder.encode(pieces);
    for (const { start, end } of pieces) this.#sent += end - start;
    return this.#encoder.join(pieces);
  }

  release(): void {
    this.#encoder.release();
  }

  headroom(size: number): number {
    return decodedSize(size) - size;
  }

  decode(
    bytes: Uint8Array,
    length: number,
    pooled?: PooledBuffer,
    maxSize = Number.POSITIVE_INFINITY,
  ): DecodedFrames {
    const decoder = this.#decoder;
    decoder.maxSize = maxSize;
    const decoded = this.#decodeChunk(bytes, length, pooled);
    const { assembled } = decoder;
    if (assembled === undefined) return decoded;
    decoder.assembled = undefined;
    return { ...decoded, assembled };
  }

  /** Decodes within the chunk's memory if there is room in front, so that bytes enter the cache only once. */
  #decodeChunk(bytes: Uint8Array, length: number, memory: PooledBuffer | undefined): DecodedFrames {
    const decoder = this.#decoder;
    const size = decodedSize(length);
    if (memory !== undefined && bytes.byteOffset - memory.bytes.byteOffset >= size - length) {
      const decoded = decoder.decode(bytes, length, new Words(memory.bytes));
      memory.refs += 1;
      return { bytes: memory.bytes, length: decoded, pooled: memory };
    }
    if (size <= DIRECT) {
      shared ??= new Words(allocate(DIRECT));
      const decoded = decoder.decode(bytes, length, shared);
      return { bytes: shared.bytes as Buffer, length: decoded, pooled: undefined };
    }
    const pooled = acquire(size);
    const decoded = decoder.decode(bytes, length, new Words(pooled.bytes));
    return { bytes: pooled.bytes, length: decoded, pooled };
  }

  takeReply(): Uint8Array | undefined {
    const { pong } = this.#decoder;
    this.#decoder.pong = undefined;
    return pong === undefined ? undefined : this.#encoder.control(PONG, pong);
  }

  ping(): Uint8Array {
    return this.#encoder.control(PING, NOTHING);
  }

  closeFrame(why: FramingClose): Uint8Array {
    const code = CLOSE_CODES[why];
    return this.#encoder.control(CLOSE, Buffer.of(code >>> 8, code & 0xff));
  }
}
