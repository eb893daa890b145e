/**
 * Replays of sequenced messages on the wire (docs/patterns/sequenced.md). Numbers are big-endian. kit/sequence-meta.ts
 * has the second frame of published messages.
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
import { writeUint64 } from "../../core/bytes.js";
import { header, ID_BYTES, Kind, kindOf, readNumber } from "../../kit/sequence-meta.js";

export const EndStatus = { DONE: 0, MORE: 1, GONE: 2 } as const;
export type EndStatus = (typeof EndStatus)[keyof typeof EndStatus];

const REQUEST_BYTES = 44;
const ANSWER_BYTES = 8;
const END_BYTES = 9;

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
