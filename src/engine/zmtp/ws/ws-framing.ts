/** ZMQ frames on a WebSocket (45/ZWS): the encoder, the decoder and the control frames of one connection. */
import { allocate } from "../../../core/memory.js";
import { acquire } from "../codec/pooled-buffer.js";
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

  get fault(): Fault | undefined {
    return this.#decoder.fault;
  }

  encode(pieces: readonly FramePiece[]): Uint8Array {
    return this.#encoder.encode(pieces);
  }

  release(): void {
    this.#encoder.release();
  }

  decode(bytes: Uint8Array, length: number): DecodedFrames {
    const size = decodedSize(length);
    if (size <= DIRECT) {
      shared ??= new Words(allocate(DIRECT));
      return {
        bytes: shared.bytes as Buffer,
        length: this.#decoder.decode(bytes, length, shared),
        pooled: undefined,
      };
    }
    const pooled = acquire(size);
    return {
      bytes: pooled.bytes,
      length: this.#decoder.decode(bytes, length, new Words(pooled.bytes)),
      pooled,
    };
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
