/**
 * Codec of packets (docs/spec/cluster.md has the vectors).
 *
 *   packet   version 1 = 01 | bus 6 | body                          in the clear
 *            version 1 = 81 | bus 6 | key id 4 | nonce 24 | box     sealed (seal.ts)
 *   body     type 1 | from 16 | start 6 | count 4 | digest 4 | fields of the type | updates n 1 | update …
 *   update   kind 1 | length 2 | id 16 | start 6 | count 4 | fields of the kind
 *
 * Numbers are big-endian. A reader skips unknown bytes at the end of a packet or an update, and updates of an unknown
 * kind. An invalid packet gives a reason, and never throws.
 */
import {
  BUCKETS,
  MAX_ACCUSERS,
  MAX_ADDRESS,
  MAX_DETAILS,
  MAX_NAME,
  MAX_STREAM_PACKET,
  MAX_UPDATES,
} from "../bounds.js";
import { type Details, tryDetails } from "../details.js";
import { isName } from "../identity.js";
import { ALIVE_REJOINED, Packet, type PacketFields, PacketType, Update, UpdateKind } from "./packets.js";

/** Version in the clear; sealed packets set the highest bit, too. */
export const VERSION = 1;
export const SEALED = 0x80;
/** The box has messages instead of a packet. */
export const SEALED_MESSAGES = 0x40;
export const PREFIX = 7;

/** Before the fields of the type. */
const HEAD = 31;

type FieldKind = "u8" | "u16" | "u32" | "id" | "text" | "buckets" | "wanted" | "data";

type Fields = { readonly [K in keyof PacketFields]?: FieldKind };

/** Fields of each type, in their order. */
const FIELDS: Readonly<Record<PacketType, Fields>> = {
  [PacketType.PING]: { seq: "u32", target: "u32" },
  [PacketType.ACK]: { seq: "u32", flags: "u8" },
  [PacketType.PING_REQ]: { seq: "u32", about: "id", address: "text" },
  [PacketType.NACK]: { seq: "u32" },
  [PacketType.GOSSIP]: {},
  [PacketType.HEARTBEAT]: { flags: "u8" },
  [PacketType.DISCOVER]: { seq: "u16", target: "u16" },
  [PacketType.EXPECT]: { about: "id" },
  [PacketType.SYNC]: { flags: "u8", buckets: "buckets" },
  [PacketType.ENTRIES]: { flags: "u8", wanted: "wanted" },
  [PacketType.MESSAGE]: { data: "data" },
};

const FIELD_LISTS = new Map(
  Object.entries(FIELDS).map(([type, fields]) => [
    Number(type),
    Object.entries(fields) as [keyof PacketFields, FieldKind][],
  ]),
);

const SIZES = { u8: 1, u16: 2, u32: 4, id: 16, text: 1, buckets: 4 * BUCKETS, wanted: 8, data: 2 } as const;

/** Bytes of a body without updates, and without the data of MESSAGE. */
export function bodySize(type: PacketType, address: number): number {
  const fields = (FIELD_LISTS.get(type) ?? []).reduce((sum, [, kind]) => sum + SIZES[kind], 0);
  return HEAD + fields + (type === PacketType.PING_REQ ? address : 0) + 1;
}

/** A fixed list, for labels of a counter. */
export type Junk =
  | "empty"
  | "oversized"
  | "version"
  | "bus"
  | "truncated"
  | "type"
  | "sender"
  | "text"
  | "updates"
  | "details";

class Writer {
  readonly bytes = Buffer.allocUnsafe(MAX_STREAM_PACKET + PREFIX);
  at = 0;

  u8(value: number): void {
    this.at = this.bytes.writeUInt8(value, this.at);
  }
  u16(value: number): void {
    this.at = this.bytes.writeUInt16BE(value, this.at);
  }
  u32(value: number): void {
    this.at = this.bytes.writeUInt32BE(value >>> 0, this.at);
  }
  u48(value: number): void {
    this.at = this.bytes.writeUIntBE(value, this.at, 6);
  }
  id(id: string): void {
    this.at += this.bytes.write(id, this.at, 16, "hex");
  }
  text(text: string): void {
    const length = this.bytes.write(text, this.at + 1);
    this.bytes.writeUInt8(length, this.at);
    this.at += 1 + length;
  }
  field(kind: FieldKind, value: PacketFields[keyof PacketFields]): void {
    switch (kind) {
      case "id":
      case "text":
        this[kind](value as string);
        break;
      case "buckets":
      case "wanted": {
        const words = value as ArrayLike<number> | undefined;
        for (let i = 0; i < SIZES[kind] / 4; i++) this.u32(words?.[i] ?? 0);
        break;
      }
      case "data": {
        const data = (value as Uint8Array | undefined) ?? NO_DATA;
        this.u16(data.length);
        this.bytes.set(data, this.at);
        this.at += data.length;
        break;
      }
      default:
        this[kind](value as number);
    }
  }
}

let writer: Writer | undefined;
const NO_DATA = new Uint8Array(0);

/** @param bus number of the cluster name (identity.ts); -1: no prefix, since the packet will be sealed */
export function encodePacket(packet: Packet, bus: number): Buffer {
  writer ??= new Writer();
  const out = writer;
  out.at = 0;
  if (bus >= 0) {
    out.u8(VERSION);
    out.u48(bus);
  }
  out.u8(packet.type);
  out.id(packet.from);
  out.u48(packet.start);
  out.u32(packet.count);
  out.u32(packet.digest);
  for (const [name, kind] of FIELD_LISTS.get(packet.type) ?? []) out.field(kind, packet[name]);
  out.u8(packet.updates.length);
  for (const update of packet.updates) writeUpdate(out, update);
  return Buffer.from(out.bytes.subarray(0, out.at));
}

function writeUpdate(out: Writer, update: Update): void {
  out.u8(update.kind);
  const length = out.at;
  out.u16(0);
  out.id(update.id);
  out.u48(update.start);
  out.u32(update.count);
  switch (update.kind) {
    case UpdateKind.ALIVE:
      out.u8(update.flags);
      out.u32(update.version);
      out.text(update.name);
      out.text(update.address);
      if (update.flags & ALIVE_REJOINED) out.u48(update.processStart);
      break;
    case UpdateKind.SUSPECT:
      out.u8(update.accusers.length);
      for (const accuser of update.accusers) out.u32(accuser);
      break;
    case UpdateKind.DEAD:
      out.u8(update.flags);
      out.u32(update.accusers[0] ?? 0);
      break;
    case UpdateKind.LEFT:
      break;
    case UpdateKind.REMOVAL:
      out.u8(update.flags);
      break;
    case UpdateKind.DETAILS:
      if (update.details !== undefined) writeDetails(out, update.details);
      break;
  }
  out.bytes.writeUInt16BE(out.at - length - 2, length);
}

function writeDetails(out: Writer, details: Details): void {
  out.u8(details.tags.length);
  for (const tag of details.tags) out.text(tag);
  const props = Object.entries(details.props);
  out.u8(props.length);
  for (const [key, value] of props) {
    out.text(key);
    const length = out.bytes.write(value, out.at + 2);
    out.u16(length);
    out.at += length;
  }
  out.u8(details.endpoints.length);
  for (const endpoint of details.endpoints) out.text(endpoint);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Past the end it reads 0 or an empty text, and sets `short`. */
class Reader {
  readonly #bytes: Buffer;
  at: number;
  #end: number;
  short = false;
  garbled = false;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  #has(length: number): boolean {
    if (this.at + length <= this.#end) return true;
    this.short = true;
    this.at = this.#end;
    return false;
  }
  u8(): number {
    return this.#has(1) ? (this.#bytes[this.at++] as number) : 0;
  }
  u16(): number {
    if (!this.#has(2)) return 0;
    this.at += 2;
    return this.#bytes.readUInt16BE(this.at - 2);
  }
  u32(): number {
    if (!this.#has(4)) return 0;
    this.at += 4;
    return this.#bytes.readUInt32BE(this.at - 4);
  }
  u48(): number {
    if (!this.#has(6)) return 0;
    this.at += 6;
    return this.#bytes.readUIntBE(this.at - 6, 6);
  }
  id(): string {
    if (!this.#has(16)) return "";
    this.at += 16;
    return this.#bytes.toString("hex", this.at - 16, this.at);
  }
  text(most: number): string {
    return this.#text(this.u8(), most);
  }
  longText(most: number): string {
    return this.#text(this.u16(), most);
  }
  #text(length: number, most: number): string {
    if (!this.#has(length)) return "";
    this.at += length;
    if (length > most) {
      this.garbled = true;
      return "";
    }
    try {
      return utf8.decode(this.#bytes.subarray(this.at - length, this.at));
    } catch {
      this.garbled = true;
      return "";
    }
  }
  data(length: number): Uint8Array {
    if (!this.#has(length)) return NO_DATA;
    this.at += length;
    return new Uint8Array(this.#bytes.subarray(this.at - length, this.at));
  }
  field(kind: FieldKind): unknown {
    switch (kind) {
      case "text":
        return this.text(MAX_ADDRESS);
      case "buckets":
        return Uint32Array.from({ length: BUCKETS }, () => this.u32());
      case "wanted":
        return [this.u32(), this.u32()];
      case "data":
        return this.data(this.u16());
      default:
        return this[kind]();
    }
  }
  /** A reader of the next `length` bytes, which this reader skips. */
  part(length: number): Reader {
    const start = this.at;
    if (!this.#has(length)) return new Reader(this.#bytes, start, start);
    this.at += length;
    return new Reader(this.#bytes, start, start + length);
  }
}

/** @returns `undefined` if the packet has another version or is too short */
export function readBus(bytes: Buffer): number | undefined {
  const hasPrefix =
    bytes.length >= PREFIX && ((bytes[0] as number) & ~(SEALED | SEALED_MESSAGES)) === VERSION;
  return hasPrefix ? bytes.readUIntBE(1, 6) : undefined;
}

/**
 * @param bytes are not kept
 * @param bus required number of the cluster name
 * @param most accepted bytes, of a datagram or a stream
 */
export function decodePacket(bytes: Buffer, bus: number, most: number): Packet | Junk {
  if (bytes.length === 0) return "empty";
  if (bytes.length > most) return "oversized";
  if (bytes[0] !== VERSION) return "version";
  if (bytes.length < PREFIX) return "truncated";
  if (bytes.readUIntBE(1, 6) !== bus) return "bus";
  return decodeBody(bytes.subarray(PREFIX));
}

/** Decodes a packet without its prefix, as from a box. */
export function decodeBody(bytes: Buffer): Packet | Junk {
  const input = new Reader(bytes, 0, bytes.length);
  const type = input.u8() as PacketType;
  const from = input.id();
  const start = input.u48();
  const count = input.u32();
  const digest = input.u32();
  if (input.short) return "truncated";
  if (/^0*$/.test(from)) return "sender";
  const known = FIELD_LISTS.get(type);
  if (known === undefined) return "type";
  const fields: Record<string, unknown> = {};
  for (const [name, kind] of known) fields[name] = input.field(kind);
  const length = input.u8();
  if (input.short) return "truncated";
  if (input.garbled) return "text";
  if (length > MAX_UPDATES) return "updates";
  const updates: Update[] = [];
  for (let i = 0; i < length; i++) {
    const kind = input.u8();
    const part = input.part(input.u16());
    if (input.short) return "truncated";
    const found = readUpdate(kind, part);
    if (typeof found === "string") return found;
    if (found !== undefined) updates.push(found);
  }
  fields.updates = updates;
  return new Packet({ type, from, start, count, digest }, fields);
}

/** @returns `undefined` for an update of a later version */
function readUpdate(kind: number, input: Reader): Update | Junk | undefined {
  if (kind < UpdateKind.ALIVE || kind > UpdateKind.DETAILS) return undefined;
  const id = input.id();
  const start = input.u48();
  const count = input.u32();
  if (input.short) return "truncated";
  let update: Update | Junk;
  switch (kind) {
    case UpdateKind.ALIVE: {
      const flags = input.u8();
      const version = input.u32();
      const name = input.text(MAX_NAME);
      const address = input.text(MAX_ADDRESS);
      const processStart = flags & ALIVE_REJOINED ? input.u48() : start;
      if (input.short) return "truncated";
      if (input.garbled || address === "" || !isName(name)) return "text";
      update = Update.alive({ id, start, count, name, address, flags, version, processStart });
      break;
    }
    case UpdateKind.SUSPECT: {
      const length = input.u8();
      if (length === 0 || length > MAX_ACCUSERS) return "updates";
      const accusers: number[] = [];
      for (let i = 0; i < length; i++) accusers.push(input.u32());
      update = Update.suspect({ id, start, count }, accusers);
      break;
    }
    case UpdateKind.DEAD: {
      const reason = input.u8();
      update = Update.dead({ id, start, count }, reason, input.u32());
      break;
    }
    case UpdateKind.LEFT:
      update = Update.left({ id, start, count });
      break;
    case UpdateKind.REMOVAL:
      update = Update.removal(id, start, count, (input.u8() & 1) !== 0);
      break;
    default:
      update = readDetails(id, start, count, input);
  }
  return input.short ? "truncated" : update;
}

function readDetails(id: string, start: number, version: number, input: Reader): Update | Junk {
  const tags: string[] = [];
  for (let i = input.u8(); i > 0 && !input.short; i--) tags.push(input.text(MAX_DETAILS));
  const props = Object.create(null) as Record<string, string>;
  let count = 0;
  for (let i = input.u8(); i > 0 && !input.short; i--) {
    const key = input.text(MAX_DETAILS);
    props[key] = input.longText(MAX_DETAILS);
    count += 1;
  }
  const endpoints: string[] = [];
  for (let i = input.u8(); i > 0 && !input.short; i--) endpoints.push(input.text(MAX_DETAILS));
  if (input.short) return "truncated";
  if (input.garbled || Object.keys(props).length !== count) return "details";
  const details = tryDetails(version, tags, props, endpoints);
  return typeof details === "string" ? "details" : Update.details(id, start, details);
}
