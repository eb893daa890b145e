/**
 * Second frame of a message of a sequenced publisher, also read by the Suicidal Snail (docs/patterns/sequenced.md).
 *
 * PUB to SUB: topic | meta | body…, with one or more body frames. Numbers are big-endian.
 *
 *   meta, 40 bytes
 *   @0   2  "SQ", 53 51
 *   @2   1  version, 01
 *   @3   1  kind: 01, message
 *   @4  16  publisher: random, new with each start
 *   @20  4  stream: higher each time the publisher starts the topic again after forgetting it
 *   @24  8  sequence in the stream, from 1; at most 2^53 - 1
 *   @32  8  time of publication by the publisher's clock, in µs since 1970; at most 2^53 - 1
 */
import { readUint64, writeUint64 } from "../core/bytes.js";

export const Kind = { MESSAGE: 1, REPLAY: 2, REPLAYED: 3, END: 4 } as const;

export const ID_BYTES = 16;
export const META_BYTES = 40;

const MAGIC_0 = 0x53;
const MAGIC_1 = 0x51;
const VERSION = 1;

export interface Meta {
  /** 16 bytes, one character each. */
  readonly publisher: string;
  readonly stream: number;
  readonly sequence: number;
  /** µs since 1970. */
  readonly time: number;
}

/** @param id 16 bytes */
export function encodeMeta(id: Uint8Array, stream: number, sequence: number, time: number): Buffer {
  const meta = header(META_BYTES, Kind.MESSAGE);
  meta.set(id, 4);
  meta.writeUInt32BE(stream, 20);
  writeUint64(meta, 24, sequence);
  writeUint64(meta, 32, time);
  return meta;
}

/** @returns `undefined` for any other frame */
export function parseMeta(frame: Buffer): Meta | undefined {
  if (kindOf(frame, META_BYTES) !== Kind.MESSAGE) return undefined;
  const sequence = readNumber(frame, 24);
  const time = readNumber(frame, 32);
  if (sequence === undefined || sequence === 0 || time === undefined) return undefined;
  return { publisher: frame.toString("latin1", 4, 20), stream: frame.readUInt32BE(20), sequence, time };
}

export function header(bytes: number, kind: number): Buffer {
  const frame = Buffer.allocUnsafe(bytes);
  frame[0] = MAGIC_0;
  frame[1] = MAGIC_1;
  frame[2] = VERSION;
  frame[3] = kind;
  return frame;
}

/** @returns the kind; `undefined` for any other frame */
export function kindOf(frame: Buffer, bytes: number): number | undefined {
  const ours = frame.length === bytes && frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
  return ours ? frame[3] : undefined;
}

/** @returns `undefined` above 2^53 - 1 */
export function readNumber(frame: Buffer, at: number): number | undefined {
  const number = readUint64(frame, at);
  return Number.isSafeInteger(number) ? number : undefined;
}
