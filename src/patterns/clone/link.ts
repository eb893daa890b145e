/**
 * The link of a pair: the follower's DEALER and the ROUTER of the server that serves, port P + 4. Messages of 12/CHP
 * (protocol.ts) behind a session, 8 random bytes for each request; those of earlier sessions are dropped.
 *
 *   ICANHAZ  from the follower: asks for the map and all updates after it
 *   HUGZ     from the follower: its memory and store have all updates up to this sequence
 *   HUGZ     to the follower: all updates up to this sequence are applied
 *   KVSYNC   properties: ttl, what is left of it
 *   KTHXBAI  properties: standing (standing.ts); value: the UUIDs of recent updates, 16 bytes each, the oldest first
 *   KVPUB    properties: kind (operation.ts), then those that the client wrote
 *
 * Updates come after the KTHXBAI, from the one after its sequence, without a gap. In the
 * Guide the backup subscribes to KVPUB, so an update could reach clients only; here it is published after the
 * follower's HUGZ.
 */
import { type Operation, type OperationKind, operationOf } from "./operation.js";
import { encodeTimeToLive, property } from "./properties.js";
import {
  EMPTY,
  encodeGoodbye,
  encodeHugz,
  encodeRequest,
  MAX_KEY,
  PROPERTIES,
  parseRequest,
  readSequence,
  sequenceFrame,
  updateFault,
} from "./protocol.js";
import { encodeStanding, MAX_PEER_TERM, parseStanding, type Standing } from "./standing.js";
import type { CloneStoredEntry } from "./store.js";

export const SESSION_BYTES = 8;
const LINE_FEED = 0x0a;
const KINDS: Readonly<Record<OperationKind, Buffer>> = {
  set: Buffer.from("kind=set\n"),
  delete: Buffer.from("kind=delete\n"),
  announce: Buffer.from("kind=announce\n"),
  conflict: Buffer.from("kind=conflict\n"),
};

export interface LinkMessage {
  readonly session: Buffer;
  /** A request of two frames, or five frames. */
  readonly frames: readonly Buffer[];
}

/** @returns `undefined` for an invalid message */
export function parseLink([session, ...frames]: readonly Buffer[]): LinkMessage | undefined {
  if (session?.length !== SESSION_BYTES) return undefined;
  if (isRequest(frames)) return { session, frames };
  const [key, sequence, uuid, , value] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer];
  if (frames.length !== 5 || key.length === 0 || key.length > MAX_KEY) return undefined;
  // The kind comes on top of the client's properties.
  return updateFault([key, sequence, uuid, EMPTY, value]) === undefined ? { session, frames } : undefined;
}

export function isRequest(frames: readonly Buffer[]): boolean {
  return typeof parseRequest(frames) !== "string";
}

export function encodeFollow(session: Buffer): Buffer[] {
  return [session, ...encodeRequest(EMPTY)];
}

export function encodeMark(session: Buffer, sequence: number): Buffer[] {
  return [session, ...encodeHugz(sequence)];
}

/** @param ttl ms that are left; 0: none */
export function encodeEntry(
  session: Buffer,
  { key, sequence, value }: Omit<CloneStoredEntry, "expires">,
  ttl: number,
): Buffer[] {
  return [session, key, sequenceFrame(sequence), EMPTY, encodeTimeToLive(Math.ceil(ttl)), value];
}

export function encodeEnd(session: Buffer, sequence: number, standing: Standing, uuids: Buffer): Buffer[] {
  const properties = Buffer.from(`standing=${encodeStanding(standing)}\n`);
  return [session, ...encodeGoodbye(sequence, uuids, properties)];
}

/** @returns `undefined` for one of another version */
export function standingOf(frames: readonly Buffer[]): Standing | undefined {
  const text = property(frames[PROPERTIES] as Buffer, "standing") ?? "";
  return parseStanding(Buffer.from(text, "latin1"), MAX_PEER_TERM);
}

export function encodeUpdate(session: Buffer, operation: Operation): Buffer[] {
  const { key, sequence, uuid, properties, kind, value } = operation;
  return [session, key, sequenceFrame(sequence), uuid, Buffer.concat([KINDS[kind], properties]), value];
}

/** @returns `undefined` for an invalid update */
export function parseUpdate(frames: readonly Buffer[], now: number): Operation | undefined {
  const [key, number, uuid, all, value] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer];
  const end = all.indexOf(LINE_FEED) + 1;
  const kind = (Object.keys(KINDS) as OperationKind[]).find((name) =>
    KINDS[name].equals(all.subarray(0, end)),
  );
  const operation = operationOf([key, number, uuid, all.subarray(end), value], now);
  if (kind === undefined || typeof operation === "string" || (kind === "set") !== value.length > 0)
    return undefined;
  return { ...operation, kind, counted: false, condition: undefined, sequence: readSequence(number) };
}
