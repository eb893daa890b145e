/**
 * Items of the kind MEMBER (docs/spec/messaging.md), on links and in datagrams. A missing field takes no byte.
 *
 *   item      head 1 | channel | id | ruid | context | data
 *   head      bits 0 to 2  what it is: MESSAGE, QUERY, REPLY, FAILURE
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
 *
 *   datagram  filter | MESSAGE item
 *   filter    count uint, as many ids of 16 bytes; 0: all members
 */
import { isUtf8 } from "node:buffer";
import { MAX_NAME } from "../bounds.js";
import { Reader, Writer } from "../compact.js";
import type { Member } from "../node/member.js";
import { type ClusterChannel, isChannelName, MAX_CHANNEL } from "./channels.js";

export const MemberOp = {
  MESSAGE: 1,
  /** Answered by one REPLY or FAILURE with its `id`. */
  QUERY: 2,
  REPLY: 3,
  /** `ruid` is the reason, `data` the details. */
  FAILURE: 4,
} as const;
export type MemberOp = (typeof MemberOp)[keyof typeof MemberOp];

const Head = { OP: 0x07, TEXT: 0x08, CHANNEL: 0x10, ID: 0x20, RUID: 0x40, CONTEXT: 0x80 } as const;

const NODE_ID = 16;

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
/** The same for one datagram. */
const filtered = new Writer();

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
      (typeof data === "string" ? Head.TEXT : 0) |
      (channel !== 0 ? Head.CHANNEL : 0) |
      (id !== 0 ? Head.ID : 0) |
      (ruid !== "" ? Head.RUID : 0) |
      (context !== undefined ? Head.CONTEXT : 0),
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
  const op = (head & Head.OP) as MemberOp | 0;
  if (op === 0) return "op";
  const channel = readChannel(reader, head);
  if (channel === undefined) return "channel";
  const id = (head & Head.ID) === 0 ? 0 : reader.uint();
  if (id === 0 && (head & Head.ID) !== 0) return "id";
  let ruid = "";
  let context: Buffer | undefined;
  if ((head & Head.RUID) !== 0) {
    ruid = reader.text(MAX_NAME);
    if (ruid === "") return "ruid";
  }
  if ((head & Head.CONTEXT) !== 0) {
    context = reader.context();
    if (reader.failed) return "context";
  }
  const rest = bytes.subarray(reader.at);
  if ((head & Head.TEXT) === 0) return { op, channel, id, ruid, data: rest, context };
  if (!isUtf8(rest)) return "utf8";
  return { op, channel, id, ruid, data: rest.toString(), context };
}

function readChannel(reader: Reader, head: number): ClusterChannel | undefined {
  if ((head & Head.CHANNEL) === 0) return 0;
  const number = reader.uint();
  if (reader.failed) return undefined;
  if (number <= MAX_CHANNEL) return number;
  const name = reader.view(number - MAX_CHANNEL - 1);
  if (reader.failed || !isUtf8(name)) return undefined;
  const channel = name.toString();
  return isChannelName(channel) ? channel : undefined;
}

/** Bytes of a datagram to one member, without its item. */
export const DATAGRAM_HEADER = 1 + NODE_ID;

/**
 * Two interfaces deliver a datagram twice: the second is refused as a replay (wire/seal.ts).
 *
 * @param members empty: all, also those that are not known here yet @param room bytes of a datagram
 */
export function encodeDatagrams(item: Buffer, members: readonly Member[], room: number): Buffer[] {
  const width = Math.max(1, Math.floor((room - item.length - 2) / NODE_ID));
  const datagrams: Buffer[] = [];
  for (let i = 0; i === 0 || i < members.length; i += width) {
    const some = members.slice(i, i + width);
    filtered.uint(some.length);
    for (const { id } of some) filtered.id(id);
    datagrams.push(filtered.finish(item));
  }
  return datagrams;
}

/**
 * @param self this node's id
 * @returns the item of a datagram; `undefined`: it is for others; "filter": it is malformed
 */
export function readDatagram(bytes: Buffer, self: string): Buffer | "filter" | undefined {
  const reader = new Reader(bytes);
  const count = reader.uint();
  const ids = reader.view(count * NODE_ID);
  if (reader.failed) return "filter";
  const item = bytes.subarray(reader.at);
  if (count === 0) return item;
  const own = Buffer.from(self, "hex");
  for (let at = 0; at < ids.length; at += NODE_ID) if (own.compare(ids, at, at + NODE_ID) === 0) return item;
  return undefined;
}
