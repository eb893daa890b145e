/**
 * Sequenced messages and their replays on the wire (docs/patterns/sequenced.md). Numbers are big-endian.
 *
 * PUB to SUB: topic | meta | body…, with one or more body frames:
 *
 *   meta, 40 bytes
 *   @0   2  "SQ", 53 51
 *   @2   1  version, 01
 *   @3   1  kind: 01, message
 *   @4  16  publisher: random, new with each start
 *   @20  4  stream: higher each time the publisher starts the topic again after forgetting it
 *   @24  8  sequence in the stream, from 1; at most 2^53 - 1
 *   @32  8  time of publication by the publisher's clock, in µs since 1970; at most 2^53 - 1
 *
 * A publisher's ROUTER has its id, 32 hexadecimal digits, as its routing id. ROUTER or DEALER to ROUTER: request | topic
 *
 *   request, 44 bytes
 *   @0   4  "SQ", 01, kind 02
 *   @4  16  publisher
 *   @20  4  stream
 *   @24  8  first sequence wanted
 *   @32  8  last sequence wanted
 *   @40  4  request number, chosen by the requester, and returned
 *
 * Back, for each message "SQ" 01 03 and the request number, 8 bytes, then the message as published: answer | topic | meta
 * | body…; at the end one frame:
 *
 *   end, 9 bytes
 *   @0   4  "SQ", 01, kind 04
 *   @4   4  request number
 *   @8   1  status: 00 done, 01 more (request from the sequence after the last), 02 gone: another publisher or stream
 */
import { readUint64, writeUint64 } from "../../core/bytes.js";

const Kind = { MESSAGE: 1, REPLAY: 2, REPLAYED: 3, END: 4 } as const;

export const ID_BYTES = 16;
export const META_BYTES = 40;
const MAGIC_0 = 0x53;
const MAGIC_1 = 0x51;
const VERSION = 1;

export const EndStatus = { DONE: 0, MORE: 1, GONE: 2 } as const;
export type EndStatus = (typeof EndStatus)[keyof typeof EndStatus];

const REQUEST_BYTES = 44;
const ANSWER_BYTES = 8;
const END_BYTES = 9;

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

export interface ReplayRequest {
  /** 32 hexadecimal digits. */
  readonly publisher: string;
  readonly stream: number;
  readonly from: number;
  readonly to: number;
  readonly number: number;
}

export interface ReplayEnd {
  readonly number: number;
  readonly status: EndStatus;
}

export function encodeRequest({ publisher, stream, from, to, number }: ReplayRequest): Buffer {
  const request = header(REQUEST_BYTES, Kind.REPLAY);
  request.write(publisher, 4, ID_BYTES, "hex");
  request.writeUInt32BE(stream, 20);
  writeUint64(request, 24, from);
  writeUint64(request, 32, to);
  request.writeUInt32BE(number, 40);
  return request;
}

/** @returns `undefined` for any other frame or an empty range */
export function parseRequest(frame: Buffer): ReplayRequest | undefined {
  if (kindOf(frame, REQUEST_BYTES) !== Kind.REPLAY) return undefined;
  const from = readNumber(frame, 24);
  const to = readNumber(frame, 32);
  if (from === undefined || to === undefined || from === 0 || to < from) return undefined;
  return {
    publisher: frame.toString("hex", 4, 20),
    stream: frame.readUInt32BE(20),
    from,
    to,
    number: frame.readUInt32BE(40),
  };
}

export function encodeAnswer(number: number): Buffer {
  const answer = header(ANSWER_BYTES, Kind.REPLAYED);
  answer.writeUInt32BE(number, 4);
  return answer;
}

/** @returns the request number; `undefined` for any other frame */
export function parseAnswer(frame: Buffer): number | undefined {
  return kindOf(frame, ANSWER_BYTES) === Kind.REPLAYED ? frame.readUInt32BE(4) : undefined;
}

export function encodeEnd({ number, status }: ReplayEnd): Buffer {
  const frame = header(END_BYTES, Kind.END);
  frame.writeUInt32BE(number, 4);
  frame[8] = status;
  return frame;
}

export function parseEnd(frame: Buffer): ReplayEnd | undefined {
  if (kindOf(frame, END_BYTES) !== Kind.END) return undefined;
  const status = frame[8] as number;
  if (status > EndStatus.GONE) return undefined;
  return { number: frame.readUInt32BE(4), status: status as EndStatus };
}

function header(bytes: number, kind: number): Buffer {
  const frame = Buffer.allocUnsafe(bytes);
  frame[0] = MAGIC_0;
  frame[1] = MAGIC_1;
  frame[2] = VERSION;
  frame[3] = kind;
  return frame;
}

/** @returns the kind; `undefined` for any other frame */
function kindOf(frame: Buffer, bytes: number): number | undefined {
  const ours = frame.length === bytes && frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
  return ours ? frame[3] : undefined;
}

/** @returns `undefined` above 2^53 - 1 */
function readNumber(frame: Buffer, at: number): number | undefined {
  const number = readUint64(frame, at);
  return Number.isSafeInteger(number) ? number : undefined;
}
