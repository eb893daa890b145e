/**
 * Sequenced publishing on the wire, which is shoal's own. Numbers are big-endian.
 *
 * PUB to SUB: topic | meta | body…, one body frame or more; a mark has none. A
 * plain SUB reads the topic and the body, and skips the second frame.
 *
 *   meta, 40 bytes
 *   @0   2  "SQ", 53 51
 *   @2   1  version, 01
 *   @3   1  kind: 01 message, 02 mark (the topic is quiet; its last message has this sequence)
 *   @4  16  publisher: random, a new one with each start
 *   @20  4  stream: grows when a publisher forgot the topic and begins it anew
 *   @24  8  sequence in the stream, from 1; at most 2^53 - 1
 *   @32  8  the publisher's time, in µs since 1970, when it was published; at most 2^53 - 1
 *
 * DEALER to ROUTER: request | topic
 *
 *   request, 44 bytes
 *   @0   4  "SQ", 01, kind 03
 *   @4  16  publisher
 *   @20  4  stream
 *   @24  8  first sequence wanted
 *   @32  8  last sequence wanted
 *   @40  4  the asker's number, given back
 *
 * ROUTER to DEALER, for each message "SQ" 01 04 and the number, 8 bytes, then the
 * message as it was published: answer | topic | meta | body…; at the end one frame:
 *
 *   end, 45 bytes
 *   @0   4  "SQ", 01, kind 05
 *   @4   4  the asker's number
 *   @8  16  the publisher that answers
 *   @24  4  stream of the topic here; 0: no such topic
 *   @28  8  the oldest sequence kept; 0: none
 *   @36  8  the newest sequence published; 0: none
 *   @44  1  status: 00 done, 01 more (ask from the sequence after the last), 02 another publisher, 03 stream gone
 */

/** What stands at @3. */
export const Kind = { MESSAGE: 1, MARK: 2, REPLAY: 3, REPLAYED: 4, END: 5 } as const;

/** How a replay's page ended. */
export const EndStatus = { DONE: 0, MORE: 1, OTHER_PUBLISHER: 2, GONE: 3 } as const;
export type EndStatus = (typeof EndStatus)[keyof typeof EndStatus];

export const ID_BYTES = 16;
export const META_BYTES = 40;
const REQUEST_BYTES = 44;
const ANSWER_BYTES = 8;
const END_BYTES = 45;

const MAGIC_0 = 0x53;
const MAGIC_1 = 0x51;
const VERSION = 1;
const TWO_32 = 0x1_0000_0000;
/** The high word of 2^53 - 1. */
const MAX_HIGH = 0x1f_ffff;

/** What the second frame says. */
export interface Meta {
  readonly kind: typeof Kind.MESSAGE | typeof Kind.MARK;
  /** 16 bytes, one character each. */
  readonly publisher: string;
  readonly stream: number;
  readonly sequence: number;
  /** µs since 1970. */
  readonly time: number;
}

/** Which messages are wanted again. */
export interface ReplayRequest {
  /** 16 bytes, one character each. */
  readonly publisher: string;
  readonly stream: number;
  readonly from: number;
  readonly to: number;
  readonly number: number;
}

/** How an answer ended. */
export interface ReplayEnd {
  readonly number: number;
  readonly publisher: string;
  readonly stream: number;
  readonly oldest: number;
  readonly newest: number;
  readonly status: EndStatus;
}

/** @param id 16 bytes */
export function encodeMeta(
  kind: Meta["kind"],
  id: Uint8Array,
  stream: number,
  sequence: number,
  time: number,
): Buffer {
  const meta = head(META_BYTES, kind);
  meta.set(id, 4);
  meta.writeUInt32BE(stream, 20);
  writeNumber(meta, sequence, 24);
  writeNumber(meta, time, 32);
  return meta;
}

/** @returns `undefined` for what is no meta frame */
export function parseMeta(frame: Buffer): Meta | undefined {
  const kind = kindOf(frame, META_BYTES);
  if (kind !== Kind.MESSAGE && kind !== Kind.MARK) return undefined;
  const sequence = readNumber(frame, 24);
  const time = readNumber(frame, 32);
  if (sequence === undefined || sequence === 0 || time === undefined) return undefined;
  return { kind, publisher: frame.toString("latin1", 4, 20), stream: frame.readUInt32BE(20), sequence, time };
}

export function encodeRequest({ publisher, stream, from, to, number }: ReplayRequest): Buffer {
  const request = head(REQUEST_BYTES, Kind.REPLAY);
  request.write(publisher, 4, ID_BYTES, "latin1");
  request.writeUInt32BE(stream, 20);
  writeNumber(request, from, 24);
  writeNumber(request, to, 32);
  request.writeUInt32BE(number, 40);
  return request;
}

/** @returns `undefined` for what is no request: another frame, no sequence, or none between the two */
export function parseRequest(frame: Buffer): ReplayRequest | undefined {
  if (kindOf(frame, REQUEST_BYTES) !== Kind.REPLAY) return undefined;
  const from = readNumber(frame, 24);
  const to = readNumber(frame, 32);
  if (from === undefined || to === undefined || from === 0 || to < from) return undefined;
  return {
    publisher: frame.toString("latin1", 4, 20),
    stream: frame.readUInt32BE(20),
    from,
    to,
    number: frame.readUInt32BE(40),
  };
}

export function encodeAnswer(number: number): Buffer {
  const answer = head(ANSWER_BYTES, Kind.REPLAYED);
  answer.writeUInt32BE(number, 4);
  return answer;
}

/** @returns the asker's number, or `undefined` for what does not begin a replayed message */
export function parseAnswer(frame: Buffer): number | undefined {
  return kindOf(frame, ANSWER_BYTES) === Kind.REPLAYED ? frame.readUInt32BE(4) : undefined;
}

export function encodeEnd(end: ReplayEnd): Buffer {
  const frame = head(END_BYTES, Kind.END);
  frame.writeUInt32BE(end.number, 4);
  frame.write(end.publisher, 8, ID_BYTES, "latin1");
  frame.writeUInt32BE(end.stream, 24);
  writeNumber(frame, end.oldest, 28);
  writeNumber(frame, end.newest, 36);
  frame[44] = end.status;
  return frame;
}

export function parseEnd(frame: Buffer): ReplayEnd | undefined {
  if (kindOf(frame, END_BYTES) !== Kind.END) return undefined;
  const oldest = readNumber(frame, 28);
  const newest = readNumber(frame, 36);
  const status = frame[44] as number;
  if (oldest === undefined || newest === undefined || status > EndStatus.GONE) return undefined;
  return {
    number: frame.readUInt32BE(4),
    publisher: frame.toString("latin1", 8, 24),
    stream: frame.readUInt32BE(24),
    oldest,
    newest,
    status: status as EndStatus,
  };
}

function head(bytes: number, kind: number): Buffer {
  const frame = Buffer.allocUnsafe(bytes);
  frame[0] = MAGIC_0;
  frame[1] = MAGIC_1;
  frame[2] = VERSION;
  frame[3] = kind;
  return frame;
}

function kindOf(frame: Buffer, bytes: number): number | undefined {
  const ours = frame.length === bytes && frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
  return ours ? frame[3] : undefined;
}

function writeNumber(frame: Buffer, value: number, at: number): void {
  frame.writeUInt32BE(Math.floor(value / TWO_32), at);
  frame.writeUInt32BE(value % TWO_32, at + 4);
}

/** @returns `undefined` past 2^53 - 1 */
function readNumber(frame: Buffer, at: number): number | undefined {
  const high = frame.readUInt32BE(at);
  return high > MAX_HIGH ? undefined : high * TWO_32 + frame.readUInt32BE(at + 4);
}
