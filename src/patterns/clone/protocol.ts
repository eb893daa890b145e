/**
 * Ports and messages of 12/CHP.
 *
 *   frame      0          1           2           3             4
 *   ICANHAZ    ICANHAZ?   subtree                                            DEALER to ROUTER, port P
 *   KVSYNC     key        sequence    ""          ""            value        ROUTER to DEALER, port P
 *   KTHXBAI    KTHXBAI    sequence    ""          properties    subtree      the same
 *   KVPUB      key        sequence    uuid        properties    value        PUB to SUB, port P + 1
 *   HUGZ       HUGZ       sequence    ""          properties    ""           the same
 *   KVSET      key        0           uuid        properties    value        PUB to SUB, port P + 2
 *
 *   key         1 to 255 bytes, but not HUGZ or KTHXBAI
 *   sequence    8 bytes, big-endian, at most 2^53 - 1
 *   uuid        16 bytes, or none
 *   properties  lines name=value, each with its line feed (properties.ts)
 *   value       empty: the key is deleted
 *   subtree     empty: everything; else /segment/ or /segment/segment/ …, a prefix of keys
 *
 * KTHXBAI and HUGZ carry the server's sequence, as in the Guide's programs and unlike the text of 12/CHP: without it a
 * client of an empty subtree would apply old updates, and could not notice the loss of the last one.
 */

import { invalidArgument, quoted } from "../../core/arguments.js";
import { readUint64, writeUint64 } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { CloneFault } from "../../statistics/patterns.js";

export type { CloneFault };

export const ICANHAZ: Buffer = Buffer.from("ICANHAZ?");
export const KTHXBAI: Buffer = Buffer.from("KTHXBAI");
export const HUGZ: Buffer = Buffer.from("HUGZ");
export const EMPTY: Buffer = Buffer.alloc(0);

export const MAX_KEY = 255;
const MAX_PROPERTIES = 4_096;
/** With the numbers of 256 subtrees, or of all above a key. */
export const MAX_SERVER_PROPERTIES = 8_192;
export const SEQUENCE_BYTES = 8;
export const UUID_BYTES = 16;
const FRAMES = 5;
/** Maximum of the second byte; the first is 0. */
export const MAX_SEQUENCE_BYTE = 0x1f;
const SLASH = 0x2f;

/** Frames of an update. */
export const KEY = 0;
export const SEQUENCE = 1;
export const UUID = 2;
export const PROPERTIES = 3;
export const VALUE = 4;

/** Empty, or non-empty segments between slashes (12/CHP, State Synchronization). */
export function isSubtree(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length === 0) return true;
  if (length < 3 || length > MAX_KEY || bytes[0] !== SLASH || bytes[length - 1] !== SLASH) return false;
  for (let i = 1; i < length; i++) if (bytes[i] === SLASH && bytes[i - 1] === SLASH) return false;
  return true;
}

export function keyFault(key: Uint8Array): "key" | "reserved-key" | undefined {
  const { length } = key;
  if (length === 0 || length > MAX_KEY) return "key";
  return isReservedKey(key, 0, length) ? "reserved-key" : undefined;
}

export function hasPrefix(key: Buffer, prefix: Buffer): boolean {
  const { length } = prefix;
  return length === 0 || (key.length >= length && key.compare(prefix, 0, length, 0, length) === 0);
}

export function isReservedKey(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length !== HUGZ.length && length !== KTHXBAI.length) return false;
  const command = length === HUGZ.length ? HUGZ : KTHXBAI;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== command[i]) return false;
  return true;
}

/** @param frames without the routing id */
export function parseRequest(frames: readonly Buffer[]): Buffer | CloneFault {
  if (frames.length !== 2) return "frames";
  if (!ICANHAZ.equals(frames[0] as Buffer)) return "command";
  const subtree = frames[1] as Buffer;
  return isSubtree(subtree) ? subtree : "subtree";
}

/**
 * Does not check the key and single properties.
 * @param maxProperties bytes of all
 */
export function updateFault(
  frames: readonly Buffer[],
  maxProperties = MAX_PROPERTIES,
): CloneFault | undefined {
  if (frames.length !== FRAMES) return "frames";
  const sequence = frames[SEQUENCE] as Buffer;
  if (sequence.length !== SEQUENCE_BYTES || sequence[0] !== 0 || (sequence[1] as number) > MAX_SEQUENCE_BYTE)
    return "sequence";
  const uuid = (frames[UUID] as Buffer).length;
  if (uuid !== 0 && uuid !== UUID_BYTES) return "uuid";
  return (frames[PROPERTIES] as Buffer).length > maxProperties ? "properties" : undefined;
}

/** @param bytes checked by {@link updateFault} */
export function readSequence(bytes: Uint8Array, at = 0): number {
  return readUint64(bytes, at);
}

export function sequenceFrame(sequence: number): Buffer {
  const frame = Buffer.allocUnsafe(SEQUENCE_BYTES);
  writeUint64(frame, 0, sequence);
  return frame;
}

/** @param token 8 random bytes of its author. @param number of the author's updates */
export function uuidOf(token: Buffer, number: number): Buffer {
  const uuid = Buffer.allocUnsafe(UUID_BYTES);
  uuid.set(token);
  writeUint64(uuid, 8, number);
  return uuid;
}

/** Of all updates that a server makes itself: nobody repeats them. */
export function ownUuidOf(token: Buffer): Buffer {
  return uuidOf(token, 0);
}

/** Clients number their updates from 1. */
export function isOwnUuid(uuid: Buffer): boolean {
  return readSequence(uuid, 8) === 0;
}

export function uuidsOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.floor(bytes.length / UUID_BYTES) }, (_, i) =>
    bytes.subarray(i * UUID_BYTES, (i + 1) * UUID_BYTES),
  );
}

export function isHugz(frames: readonly Buffer[]): boolean {
  const key = frames[KEY] as Buffer;
  return key.length === HUGZ.length && HUGZ.equals(key);
}

export function isGoodbye(frames: readonly Buffer[]): boolean {
  const key = frames[KEY] as Buffer;
  return key.length === KTHXBAI.length && KTHXBAI.equals(key);
}

export function encodeRequest(subtree: Buffer): Buffer[] {
  return [ICANHAZ, subtree];
}

export function encodeGoodbye(sequence: number, subtree: Buffer, properties: Buffer = EMPTY): Buffer[] {
  return [KTHXBAI, sequenceFrame(sequence), EMPTY, properties, subtree];
}

export function encodeHugz(sequence: number, properties: Buffer = EMPTY): Buffer[] {
  return [HUGZ, sequenceFrame(sequence), EMPTY, properties, EMPTY];
}

const ZERO_SEQUENCE = Buffer.alloc(SEQUENCE_BYTES);

export function encodeSet(key: Buffer, uuid: Buffer, properties: Buffer, value: Buffer): Buffer[] {
  return [key, ZERO_SEQUENCE, uuid, properties, value];
}

const MAX_PORT = 65_535;

/** The endpoints of a server for clients. */
export interface CloneEndpoints {
  readonly snapshot: string;
  readonly publisher: string;
  readonly collector: string;
}

/**
 * Ports of a server. Over ipc and inproc: NAME, NAME-1 … NAME-4.
 *
 *   P      snapshots    ROUTER
 *   P + 1  publisher    PUB
 *   P + 2  collector    SUB
 *   P + 3  the pair's states (Binary Star), PUB        only in a pair
 *   P + 4  replication  ROUTER                         only in a pair
 *
 * @throws InvalidArgumentError `EINVAL`
 */
export function endpointAt(base: string, offset: number): string {
  if (typeof base !== "string" || base === "")
    throw invalidArgument("A clone's endpoint must be such as tcp://HOST:5556", base);
  if (/^(?:tls|wss?):/.test(base))
    throw new InvalidArgumentError(
      `A clone's endpoint must be tcp://HOST:PORT, ipc://PATH or inproc://NAME; got ${quoted(base)}`,
      { endpoint: base },
    );
  if (!base.startsWith("tcp://")) return offset === 0 ? base : `${base}-${offset}`;
  const [, host = "", text = ""] = /^(.*):([0-9]+)$/.exec(base) ?? [];
  const port = Number(text);
  if (host === "" || port < 1 || port + 4 > MAX_PORT) {
    const message = `Endpoint ${quoted(base)}: a clone's port must be a number from 1 to ${MAX_PORT - 4}`;
    throw new InvalidArgumentError(message, { endpoint: base });
  }
  return `${host}:${port + offset}`;
}

/** @throws InvalidArgumentError `EINVAL` */
export function endpointsOf(server: string): CloneEndpoints {
  return {
    snapshot: endpointAt(server, 0),
    publisher: endpointAt(server, 1),
    collector: endpointAt(server, 2),
  };
}

const PORT_TRIES = 50;
const FIRST_PORT = 10_240;
const LAST_PORT = 32_000;

export interface PortOwner {
  readonly offset: number;
  /** One without `unbind` is bound last. */
  readonly socket: { bind(endpoint: string): Promise<unknown>; unbind?(endpoint: string): Promise<void> };
}

/**
 * @param endpoint of the first, or `tcp://HOST:*`
 * @returns the endpoint of the first
 */
export async function bindRow(endpoint: string, owners: readonly PortOwner[]): Promise<string> {
  const host = /^(tcp:\/\/.*):\*$/.exec(endpoint)?.[1];
  for (let tries = host === undefined ? 1 : PORT_TRIES; ; tries--) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    const base = host === undefined ? endpoint : `${host}:${port}`;
    try {
      await bindAt(base, owners);
      return base;
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE" || tries === 1) throw error;
    }
  }
}

async function bindAt(base: string, owners: readonly PortOwner[]): Promise<void> {
  const bound: PortOwner[] = [];
  try {
    for (const owner of owners) {
      await owner.socket.bind(endpointAt(base, owner.offset));
      bound.push(owner);
    }
  } catch (error) {
    await Promise.all(bound.map(({ socket, offset }) => socket.unbind?.(endpointAt(base, offset))));
    throw error;
  }
}
