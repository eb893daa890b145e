/**
 * Codec of packets, in the compact form (docs/spec/cluster.md has the vectors).
 *
 *   packet   version 1 = 01 | namespace 6 | body                          in the clear
 *            version 1 = 81 | namespace 6 | key id 4 | nonce 24 | box     sealed (seal.ts)
 *   body     type 1 | from 16 | start 6 | count 4 | digest 4 | fields of the type | updates n 1 | update …
 *   update   kind 1 | length 2 | id 16 | start 6 | count 4 | fields of the kind
 *
 * A reader skips unknown bytes at the end of a packet or an update, and updates of an unknown
 * kind. An invalid packet gives a reason, and never throws.
 */
import {
  BUCKETS,
  MAX_ADDRESS,
  MAX_DETAILS,
  MAX_ENDPOINTS,
  MAX_NAME,
  MAX_TAGS,
  MAX_UPDATES,
} from "../bounds.js";
import { Reader, Writer, writeUint16 } from "../compact.js";
import { type Details, tryDetails } from "../details.js";
import { isName } from "../identity.js";
import {
  AliveFlag,
  type MemberIncarnation,
  Packet,
  type PacketFields,
  PacketType,
  Update,
  UpdateKind,
} from "./packets.js";

/** Of a packet: the version, with the highest bit if it is sealed. */
export const FirstByte = {
  VERSION: 1,
  SEALED: 0x80,
} as const;
export const PREFIX = 7;

type FieldKind = "byte" | "uint16" | "uint32" | "id" | "text" | "buckets" | "wanted" | "data";

type Fields = { readonly [K in keyof PacketFields]?: FieldKind };

/** Fields of each type, in their order. */
const FIELDS: Readonly<Record<PacketType, Fields>> = {
  [PacketType.PING]: { seq: "uint32", target: "uint32" },
  [PacketType.ACK]: { seq: "uint32", flags: "byte" },
  [PacketType.PING_REQ]: { seq: "uint32", about: "id", address: "text" },
  [PacketType.NACK]: { seq: "uint32" },
  [PacketType.GOSSIP]: {},
  [PacketType.HEARTBEAT]: { flags: "byte" },
  [PacketType.DISCOVER]: { seq: "uint16", target: "uint16" },
  [PacketType.EXPECT]: { about: "id" },
  [PacketType.SYNC]: { flags: "byte", buckets: "buckets" },
  [PacketType.ENTRIES]: { flags: "byte", wanted: "wanted" },
  [PacketType.MESSAGE]: { data: "data" },
};

const FIELD_LISTS = new Map(
  Object.entries(FIELDS).map(([type, fields]) => [
    Number(type),
    Object.entries(fields) as [keyof PacketFields, FieldKind][],
  ]),
);

const SIZES = {
  byte: 1,
  uint16: 2,
  uint32: 4,
  id: 16,
  text: 1,
  buckets: 4 * BUCKETS,
  wanted: 8,
  data: 2,
} as const;

/** Bytes of a body (31 before its fields, 1 after them) without updates, the address of PING_REQ, the data of MESSAGE. */
export function bodySize(type: PacketType): number {
  return (FIELD_LISTS.get(type) ?? []).reduce((sum, [, kind]) => sum + SIZES[kind], 32);
}

/** A fixed list, for labels of a counter. */
export type PacketFault =
  | "empty"
  | "oversized"
  | "version"
  | "cluster"
  | "malformed"
  | "type"
  | "sender"
  | "text"
  | "updates"
  | "details";

/** Reused for one packet at a time. */
const out = new Writer();

/** @param namespace number of the cluster name (identity.ts); -1: no prefix, since the packet will be sealed */
export function encodePacket(packet: Packet, namespace: number): Buffer {
  out.at = 0;
  if (namespace >= 0) {
    out.byte(FirstByte.VERSION);
    out.uint48(namespace);
  }
  out.byte(packet.type);
  out.id(packet.from);
  out.uint48(packet.start);
  out.uint32(packet.count);
  out.uint32(packet.digest);
  for (const [name, kind] of FIELD_LISTS.get(packet.type) ?? []) writeField(kind, packet[name]);
  out.byte(packet.updates.length);
  for (const update of packet.updates) writeUpdate(update);
  return out.take();
}

function writeField(kind: FieldKind, value: PacketFields[keyof PacketFields]): void {
  switch (kind) {
    case "id":
    case "text":
      out[kind](value as string);
      break;
    case "buckets":
    case "wanted": {
      const words = value as ArrayLike<number> | undefined;
      for (let i = 0; i < SIZES[kind] / 4; i++) out.uint32(words?.[i] ?? 0);
      break;
    }
    case "data": {
      const data = (value as Uint8Array | undefined) ?? new Uint8Array(0);
      out.uint16(data.length);
      out.raw(data);
      break;
    }
    default:
      out[kind](value as number);
  }
}

function writeUpdate(update: Update): void {
  out.byte(update.kind);
  const start = out.at + 2;
  out.uint16(0);
  out.id(update.id);
  out.uint48(update.start);
  out.uint32(update.count);
  switch (update.kind) {
    case UpdateKind.ALIVE:
      out.byte(update.flags);
      out.uint32(update.version);
      out.text(update.name);
      out.text(update.address);
      if (update.flags & AliveFlag.REJOINED) out.uint48(update.processStart);
      break;
    case UpdateKind.SUSPECT:
      out.byte(update.accusers.length);
      for (const accuser of update.accusers) out.uint32(accuser);
      break;
    case UpdateKind.DEAD:
      out.byte(update.flags);
      out.uint32(update.accusers[0] ?? 0);
      break;
    case UpdateKind.REMOVAL:
      out.byte(update.flags);
      break;
    case UpdateKind.DETAILS: {
      const { tags, props, endpoints } = update.details as Details;
      out.texts(tags);
      out.record(props);
      out.texts(endpoints);
      break;
    }
  }
  writeUint16(out.bytes, start - 2, out.at - start);
}

/** @returns `undefined` if the packet has another version or is too short */
export function readNamespace(bytes: Buffer): number | undefined {
  const hasPrefix =
    bytes.length >= PREFIX && ((bytes[0] as number) & ~FirstByte.SEALED) === FirstByte.VERSION;
  return hasPrefix ? bytes.readUIntBE(1, 6) : undefined;
}

/**
 * @param bytes are not kept
 * @param namespace required number of the cluster name
 * @param most accepted bytes, of a datagram or a stream
 */
export function decodePacket(bytes: Buffer, namespace: number, most: number): Packet | PacketFault {
  if (bytes.length === 0) return "empty";
  if (bytes.length > most) return "oversized";
  if (bytes[0] !== FirstByte.VERSION) return "version";
  if (bytes.length < PREFIX) return "malformed";
  if (bytes.readUIntBE(1, 6) !== namespace) return "cluster";
  return decodeBody(bytes.subarray(PREFIX));
}

/** Decodes a packet without its prefix, as from a box. */
export function decodeBody(bytes: Buffer): Packet | PacketFault {
  const input = new Reader(bytes);
  const type = input.byte() as PacketType;
  const from = input.id();
  const start = input.uint48();
  const count = input.uint32();
  const digest = input.uint32();
  if (input.failed) return "malformed";
  if (/^0*$/.test(from)) return "sender";
  const known = FIELD_LISTS.get(type);
  if (known === undefined) return "type";
  const fields: Record<string, unknown> = {};
  for (const [name, kind] of known) fields[name] = readField(input, kind);
  const length = input.byte();
  if (input.failed) return "malformed";
  if (length > MAX_UPDATES) return "updates";
  const updates: Update[] = [];
  for (let i = 0; i < length; i++) {
    const kind = input.byte();
    const part = input.part(input.uint16());
    const found = input.failed ? "malformed" : readUpdate(kind, part);
    if (typeof found === "string") return found;
    if (found !== undefined) updates.push(found);
  }
  fields.updates = updates;
  return new Packet({ type, from, start, count, digest }, fields);
}

function readField(input: Reader, kind: FieldKind): unknown {
  switch (kind) {
    case "id":
      return input.id();
    case "text":
      return input.text(MAX_ADDRESS);
    case "buckets":
      return Uint32Array.from({ length: BUCKETS }, () => input.uint32());
    case "wanted":
      return [input.uint32(), input.uint32()];
    case "data":
      return new Uint8Array(input.view(input.uint16()));
    default:
      return input[kind]();
  }
}

/** @returns `undefined` for an update of a later version */
function readUpdate(kind: number, input: Reader): Update | PacketFault | undefined {
  if (kind < UpdateKind.ALIVE || kind > UpdateKind.DETAILS) return undefined;
  const about = { id: input.id(), start: input.uint48(), count: input.uint32() };
  const update = readStatement(kind, about, input);
  return input.failed ? "malformed" : update;
}

function readStatement(kind: number, about: MemberIncarnation, input: Reader): Update | PacketFault {
  const { id, start, count } = about;
  switch (kind) {
    case UpdateKind.ALIVE: {
      const flags = input.byte();
      const version = input.uint32();
      const name = input.text(MAX_NAME);
      const address = input.text(MAX_ADDRESS);
      const processStart = flags & AliveFlag.REJOINED ? input.uint48() : start;
      if (address === "" || !isName(name)) return "text";
      return Update.alive({ id, start, count, name, address, flags, version, processStart });
    }
    case UpdateKind.SUSPECT: {
      const length = input.byte();
      // No profile wants more than 7 further accusers.
      if (length === 0 || length > 8) return "updates";
      return Update.suspect(
        about,
        Array.from({ length }, () => input.uint32()),
      );
    }
    case UpdateKind.DEAD:
      return Update.dead(about, input.byte(), input.uint32());
    case UpdateKind.LEFT:
      return Update.left(about);
    case UpdateKind.REMOVAL:
      return Update.removal(id, start, count, (input.byte() & 1) !== 0);
    default: {
      const tags = input.texts(MAX_TAGS, MAX_DETAILS);
      const props = input.record(MAX_TAGS, MAX_DETAILS);
      const details = tryDetails(count, tags, props, input.texts(MAX_ENDPOINTS, MAX_DETAILS));
      return typeof details === "string" ? "details" : Update.details(id, start, details);
    }
  }
}
