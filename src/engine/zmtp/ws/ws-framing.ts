/** ZMQ frames on a WebSocket (45/ZWS): the encoder, the decoder and the control frames of one connection. */
import { allocate } from "../../../core/memory.js";
import type { StreamFault } from "../codec/in-stream.js";
import { acquire, type PooledBuffer } from "../codec/pooled-buffer.js";
import { DIRECT } from "../codec/split-frame.js";
import type { Fault, Mechanism } from "../mechanism/mechanism.js";
import type { DecodedFrames, Farewell, FramePiece, Framing } from "../transport/framing.js";
import { Words } from "./mask.js";
import { decodedSize, WsDecoder } from "./ws-decoder.js";
import { type RandomWord, WsEncoder } from "./ws-encoder.js";
import { CLOSE, CloseCode, PING, PONG } from "./ws-frame.js";

const NOTHING = Buffer.alloc(0);

export const CLOSE_CODES: Readonly<Record<Farewell, CloseCode>> = {
  done: CloseCode.normal,
  protocol: CloseCode.protocol,
  refused: CloseCode.refused,
  "too-long": CloseCode.tooLong,
};

/** For little that comes: the pipe copies what it keeps. */
let shared: Words | undefined;

/**
 * The frames of a chunk: where the chunk was, if that memory is given and begins far enough in front of it, so that what is
 * received is in the processor's cache once; else in other memory.
 *
 * @param memory of `bytes`, if it may be written in and kept
 */
export function decodeFrames(
  decoder: WsDecoder,
  bytes: Uint8Array,
  length: number,
  memory: PooledBuffer | undefined,
  maxSize: number,
): DecodedFrames {
  decoder.maxSize = maxSize;
  const decoded = decodeChunk(decoder, bytes, length, memory);
  const { assembled } = decoder;
  if (assembled === undefined) return decoded;
  decoder.assembled = undefined;
  return { ...decoded, assembled };
}

function decodeChunk(
  decoder: WsDecoder,
  bytes: Uint8Array,
  length: number,
  memory: PooledBuffer | undefined,
): DecodedFrames {
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

export class WsFraming implements Framing {
  readonly mechanism: Mechanism["name"];
  readonly bare: boolean;
  readonly #encoder: WsEncoder;
  readonly #decoder: WsDecoder;

  /** @param key of masks, of a client; a server has none */
  constructor(mechanism: Mechanism["name"], bare: boolean, key: RandomWord | undefined) {
    this.mechanism = mechanism;
    this.bare = bare;
    this.#encoder = new WsEncoder(key);
    this.#decoder = new WsDecoder(key === undefined);
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
    return this.#encoder.encode(pieces);
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
    return decodeFrames(this.#decoder, bytes, length, pooled, maxSize);
  }

  takeReply(): Uint8Array | undefined {
    const { pong } = this.#decoder;
    this.#decoder.pong = undefined;
    return pong === undefined ? undefined : this.#encoder.control(PONG, pong);
  }

  ping(): Uint8Array {
    return this.#encoder.control(PING, NOTHING);
  }

  farewell(why: Farewell): Uint8Array {
    const code = CLOSE_CODES[why];
    return this.#encoder.control(CLOSE, Buffer.of(code >>> 8, code & 0xff));
  }
}
