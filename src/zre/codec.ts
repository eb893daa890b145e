/**
 * 36/ZRE version 2: beacons and commands (docs/spec/zre.md has the vectors).
 *
 *   beacon    "ZRE" 01 | uuid 16 | port 2                                   UDP; port 0: the node leaves
 *   command   AA A1 | id 1 | version 02 | sequence 2 | fields               the first frame of a ZeroMQ message
 *     1 HELLO     endpoint string | groups strings | status 1 | name string | headers dictionary
 *     2 WHISPER   content: the frames that follow
 *     3 SHOUT     group string | content: the frames that follow
 *     4 JOIN      group string | status 1
 *     5 LEAVE     group string | status 1
 *     6 PING, 7 PING-OK
 *   string    length 1, text          longstr     length 4, text
 *   strings   count 4, longstr …      dictionary  count 4, (string, longstr) …
 *
 * Numbers are big-endian. Bytes after the last field are ignored, as in zyre. Counts are checked before allocation;
 * malformed input returns a reason.
 */
import { isUtf8 } from "node:buffer";
import { Reader } from "../cluster/compact.js";
import { unfit } from "../cluster/details.js";

/** zyre's commands 8 to 10 (elections, gossip) count in the sequence, and are ignored. */
export const ZreCommand = {
  HELLO: 1,
  WHISPER: 2,
  SHOUT: 3,
  JOIN: 4,
  LEAVE: 5,
  PING: 6,
  PING_OK: 7,
} as const;

const BEACON_SIZE = 22;
const BEACON_VERSION = 1;
/** A routing id: 01 and the uuid. */
const IDENTITY_SIZE = 17;
const SIGNATURE = 0xaaa1;
const VERSION = 2;
const HEAD = 6;

/** Bytes. */
export const MAX_HELLO = 131_072;
/** Of a node; bytes of a name, the most that a SHOUT can name. */
export const MAX_GROUPS = 256;
export const MAX_GROUP = 255;
/** Of a node; bytes of a name, of a value, and of all encoded headers of this node. */
export const MAX_HEADERS = 64;
const MAX_HEADER_NAME = 255;
const MAX_HEADER_VALUE = 4_096;
const MAX_HEADER_BYTES = 32_768;
/** Of a WHISPER or SHOUT. */
export const MAX_FRAMES = 1_024;

export interface Hello {
  readonly endpoint: string;
  readonly groups: readonly string[];
  readonly status: number;
  readonly name: string;
  /** Headers, without a prototype. */
  readonly headers: Readonly<Record<string, string>>;
}

export type ZreMessage = { readonly sequence: number } & (
  | ({ readonly command: typeof ZreCommand.HELLO } & Hello)
  | { readonly command: typeof ZreCommand.WHISPER; readonly content: Buffer[] }
  | { readonly command: typeof ZreCommand.SHOUT; readonly group: string; readonly content: Buffer[] }
  | { readonly command: GroupCommand; readonly group: string; readonly status: number }
  | { readonly command: typeof ZreCommand.PING | typeof ZreCommand.PING_OK }
  | { readonly command: 0 }
);

/** Reasons for malformed commands and beacons, which are counted. */
export type ZreFault =
  /** The routing id is not 01 and a uuid. */
  | "identity"
  /** Missing or unexpected frames, or more than 1,024. */
  | "frames"
  | "signature"
  | "version"
  | "command"
  | "truncated"
  | "oversized"
  /** Not UTF-8, or with a zero byte. */
  | "text"
  | "groups"
  | "headers"
  /** A HELLO with a sequence other than 1. */
  | "sequence"
  /** A beacon of another length, or without "ZRE". */
  | "beacon"
  /** A beacon of another version, such as zyre's with CURVE. */
  | "beacon-version";

export interface Beacon {
  /** 32 lower-case hex digits. */
  readonly uuid: string;
  /** Port of the mailbox; 0: the node leaves. */
  readonly port: number;
}

export function encodeBeacon(uuid: string, port: number): Buffer {
  const bytes = Buffer.alloc(BEACON_SIZE);
  bytes.write("ZRE", "latin1");
  bytes[3] = BEACON_VERSION;
  bytes.write(uuid, 4, 16, "hex");
  bytes.writeUInt16BE(port, 20);
  return bytes;
}

/** zyre with CURVE has version 03 and 54 bytes, and also ignores other versions. */
export function decodeBeacon(bytes: Buffer): Beacon | ZreFault {
  if (bytes.length < 4 || bytes.toString("latin1", 0, 3) !== "ZRE") return "beacon";
  if (bytes[3] !== BEACON_VERSION) return "beacon-version";
  if (bytes.length !== BEACON_SIZE) return "beacon";
  return { uuid: bytes.toString("hex", 4, 20), port: bytes.readUInt16BE(20) };
}

export function identityOf(uuid: string): Buffer {
  return Buffer.from(`01${uuid}`, "hex");
}

/** `undefined` if the routing id is not one of ZRE. */
export function uuidOf(identity: Buffer): string | undefined {
  return identity.length === IDENTITY_SIZE && identity[0] === 1
    ? identity.toString("hex", 1, IDENTITY_SIZE)
    : undefined;
}

function head(command: number, sequence: number, rest: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + rest);
  bytes.writeUInt16BE(SIGNATURE, 0);
  bytes[2] = command;
  bytes[3] = VERSION;
  bytes.writeUInt16BE(sequence, 4);
  return bytes;
}

export function encodeHello(sequence: number, hello: Hello): Buffer {
  const headers = Object.entries(hello.headers);
  let size = 1 + Buffer.byteLength(hello.endpoint) + 4 + 1 + 1 + Buffer.byteLength(hello.name) + 4;
  for (const group of hello.groups) size += 4 + Buffer.byteLength(group);
  for (const [name, value] of headers) size += 1 + Buffer.byteLength(name) + 4 + Buffer.byteLength(value);
  const bytes = head(ZreCommand.HELLO, sequence, size);
  let at = string(bytes, HEAD, hello.endpoint);
  at = bytes.writeUInt32BE(hello.groups.length, at);
  for (const group of hello.groups) at = longstr(bytes, at, group);
  at = bytes.writeUInt8(hello.status, at);
  at = string(bytes, at, hello.name);
  at = bytes.writeUInt32BE(headers.length, at);
  for (const [name, value] of headers) at = longstr(bytes, string(bytes, at, name), value);
  return bytes;
}

/** WHISPER (its content follows), PING or PING-OK. */
export function encodeBare(command: number, sequence: number): Buffer {
  return head(command, sequence, 0);
}

export function encodeShout(sequence: number, group: string): Buffer {
  const bytes = head(ZreCommand.SHOUT, sequence, 1 + Buffer.byteLength(group));
  string(bytes, HEAD, group);
  return bytes;
}

export type GroupCommand = typeof ZreCommand.JOIN | typeof ZreCommand.LEAVE;

/** @param status number of joins and leaves, modulo 256 */
export function encodeGroup(command: GroupCommand, sequence: number, group: string, status: number): Buffer {
  const bytes = head(command, sequence, 1 + Buffer.byteLength(group) + 1);
  bytes.writeUInt8(status, string(bytes, HEAD, group));
  return bytes;
}

function string(bytes: Buffer, at: number, text: string): number {
  const length = bytes.write(text, at + 1);
  bytes.writeUInt8(length, at);
  return at + 1 + length;
}

function longstr(bytes: Buffer, at: number, text: string): number {
  const length = bytes.write(text, at + 4);
  bytes.writeUInt32BE(length, at);
  return at + 4 + length;
}

/** @returns why the text is not a valid name, group or header, if so */
export function textFault(text: unknown, most: number, least: number): string | undefined {
  return unfit(text, most, least) ?? ((text as string).includes("\0") ? "has a zero byte" : undefined);
}

/** @returns why they do not fit in a HELLO, if so */
export function helloFault(name: string, headers: Readonly<Record<string, string>>): string | undefined {
  const fault = textFault(name, 255, 1);
  if (fault !== undefined) return `the name ${fault}`;
  const entries = Object.entries(headers);
  if (entries.length > MAX_HEADERS)
    return `there are ${entries.length} headers; at most ${MAX_HEADERS} are allowed`;
  let size = 0;
  for (const [key, value] of entries) {
    const why = textFault(key, MAX_HEADER_NAME, 1) ?? textFault(value, MAX_HEADER_VALUE, 0);
    if (why !== undefined) return `header ${JSON.stringify(key.slice(0, MAX_HEADER_NAME))} ${why}`;
    size += 5 + Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > MAX_HEADER_BYTES)
    return `the headers have ${size} bytes; at most ${MAX_HEADER_BYTES} are allowed`;
  return undefined;
}

class FieldReader extends Reader {
  /** Of `failed`: the first one counts. */
  fault: ZreFault = "truncated";

  string(): string {
    return this.#text(this.byte());
  }

  longstr(most: number, fault: ZreFault): string {
    const length = this.uint32();
    if (length > most) this.fail(fault);
    return this.#text(length);
  }

  fail(fault: ZreFault): void {
    if (!this.failed) this.fault = fault;
    this.failed = true;
  }

  #text(length: number): string {
    const bytes = this.view(length);
    if (bytes.includes(0) || !isUtf8(bytes)) this.fail("text");
    return bytes.toString();
  }
}

export function decodeMessage(frames: readonly Buffer[]): ZreMessage | ZreFault {
  const [bytes] = frames;
  if (bytes === undefined || frames.length > 1 + MAX_FRAMES) return "frames";
  if (bytes.length < 3)
    return bytes.length === 2 && bytes.readUInt16BE(0) !== SIGNATURE ? "signature" : "truncated";
  if (bytes.readUInt16BE(0) !== SIGNATURE) return "signature";
  if (bytes.length < HEAD) return "truncated";
  if (bytes.length > MAX_HELLO) return "oversized";
  const command = bytes[2] as number;
  if (command === 0) return "command";
  if (bytes[3] !== VERSION) return "version";
  const sequence = bytes.readUInt16BE(4);
  const reader = new FieldReader(bytes, HEAD);
  let message: ZreMessage;
  switch (command) {
    case ZreCommand.WHISPER:
      return { command, sequence, content: frames.slice(1) };
    case ZreCommand.SHOUT:
      message = { command, sequence, group: reader.string(), content: frames.slice(1) };
      return reader.failed ? reader.fault : message;
    case ZreCommand.HELLO:
      message = { command, sequence, ...readHello(reader) };
      break;
    case ZreCommand.JOIN:
    case ZreCommand.LEAVE:
      message = { command, sequence, group: reader.string(), status: reader.byte() };
      break;
    case ZreCommand.PING:
    case ZreCommand.PING_OK:
      message = { command, sequence };
      break;
    default:
      return { command: 0, sequence };
  }
  if (reader.failed) return reader.fault;
  return frames.length > 1 ? "frames" : message;
}

function readHello(reader: FieldReader): Hello {
  const endpoint = reader.string();
  const groups: string[] = [];
  const count = reader.uint32();
  if (count > MAX_GROUPS) reader.fail("groups");
  for (let i = 0; i < count && !reader.failed; i++) groups.push(reader.longstr(MAX_GROUP, "groups"));
  const status = reader.byte();
  const name = reader.string();
  // A header can be called "__proto__".
  const headers = Object.create(null) as Record<string, string>;
  const fields = reader.uint32();
  if (fields > MAX_HEADERS) reader.fail("headers");
  for (let i = 0; i < fields && !reader.failed; i++) {
    const key = reader.string();
    const value = reader.longstr(MAX_HEADER_VALUE, "headers");
    // A name's first header counts, as in zyre.
    if (!(key in headers)) headers[key] = value;
  }
  return { endpoint, groups, status, name, headers };
}
