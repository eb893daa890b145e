/**
 * Items of the kind MEMBER (docs/spec/messaging.md). A missing field takes no byte.
 *
 *   item      head 1 | channel | id | ruid | context | data
 *   head      bits 0 to 2  what it is: MESSAGE, QUERY, REPLY, FAILURE, NOTICE, ANSWER
 *             bit 3        data is a text in UTF-8, else bytes
 *             bit 4        there is a channel, else it is 0
 *             bit 5        there is an id
 *             bit 6        there is a ruid
 *             bit 7        there is the context of a trace
 *   channel   uint (compact.ts): 0 to 255 its number; 256 + n: a name of n bytes follows
 *   id        uint
 *   ruid      length uint, UTF-8
 *   context   length uint, bytes
 *   data      the rest
 */
import { isUtf8 } from "node:buffer";
import { Reader, Writer } from "../compact.js";
import { MAX_CHANNEL_NAME, MAX_RUID } from "./bounds.js";
import { type ClusterChannel, isChannelName, MAX_CHANNEL } from "./channels.js";

export const MemberOp = {
  MESSAGE: 1,
  /** Answered by one REPLY or FAILURE with its `id`. */
  QUERY: 2,
  REPLY: 3,
  /** `ruid` is the reason, `data` the details. */
  FAILURE: 4,
  /** A message was vetoed: `ruid` is that of the message, `data` the reason. */
  NOTICE: 5,
  /** A hook's answer to a MESSAGE, which is not answered itself. */
  ANSWER: 7,
} as const;
export type MemberOp = (typeof MemberOp)[keyof typeof MemberOp];

const OP = 0x07;
const TEXT = 0x08;
const CHANNEL = 0x10;
const ID = 0x20;
const RUID = 0x40;
const CONTEXT = 0x80;

export interface MemberItem {
  readonly op: MemberOp;
  readonly channel: ClusterChannel;
  /** 0 without one. */
  readonly id: number;
  /** Empty without one. */
  readonly ruid: string;
  readonly data: string | Buffer;
  /** Of a trace. */
  readonly context?: Buffer | undefined;
}

/** Why bytes are not an item. */
export type MemberItemFault = "empty" | "op" | "channel" | "id" | "ruid" | "context" | "utf8";

/** Reused for one item at a time. */
const out = new Writer();

/** @returns bytes that are never changed afterwards */
export function encodeMemberItem({
  op,
  channel,
  id,
  ruid,
  data,
  context,
}: Omit<MemberItem, "data"> & { readonly data: string | Uint8Array }): Buffer {
  out.byte(
    op |
      (typeof data === "string" ? TEXT : 0) |
      (channel !== 0 ? CHANNEL : 0) |
      (id !== 0 ? ID : 0) |
      (ruid !== "" ? RUID : 0) |
      (context !== undefined ? CONTEXT : 0),
  );
  if (typeof channel === "string") {
    const name = Buffer.from(channel);
    out.uint(MAX_CHANNEL + 1 + name.length);
    out.raw(name);
  } else if (channel !== 0) out.uint(channel);
  if (id !== 0) out.uint(id);
  if (ruid !== "") out.text(ruid);
  if (context !== undefined) out.sized(context);
  return out.finish(data);
}

/** @returns the item, whose `data` is a view of the bytes unless it is a text; or the fault */
export function decodeMemberItem(bytes: Buffer): MemberItem | MemberItemFault {
  if (bytes.length === 0) return "empty";
  const reader = new Reader(bytes, 1);
  const head = bytes[0] as number;
  const op = (head & OP) as MemberOp | 0;
  if (op === 0) return "op";
  const channel = readChannel(reader, head);
  if (channel === undefined) return "channel";
  const id = (head & ID) === 0 ? 0 : reader.uint();
  if (id === 0 && (head & ID) !== 0) return "id";
  let ruid = "";
  let context: Buffer | undefined;
  if ((head & RUID) !== 0) {
    ruid = reader.text(MAX_RUID);
    if (ruid === "") return "ruid";
  }
  if ((head & CONTEXT) !== 0) {
    context = reader.context();
    if (reader.failed) return "context";
  }
  const rest = bytes.subarray(reader.at);
  if ((head & TEXT) === 0) return { op, channel, id, ruid, data: rest, context };
  if (!isUtf8(rest)) return "utf8";
  return { op, channel, id, ruid, data: rest.toString(), context };
}

/** @returns `undefined` if it is malformed */
function readChannel(reader: Reader, head: number): ClusterChannel | undefined {
  if ((head & CHANNEL) === 0) return 0;
  const number = reader.uint();
  if (reader.failed) return undefined;
  if (number <= MAX_CHANNEL) return number;
  const size = number - MAX_CHANNEL - 1;
  if (size > MAX_CHANNEL_NAME) return undefined;
  const name = reader.view(size);
  if (reader.failed || !isUtf8(name)) return undefined;
  const channel = name.toString();
  return isChannelName(channel) ? channel : undefined;
}
