/**
 * How the server that serves keeps the other one up to date: shoal's own, in addition to
 * 12/CHP, which leaves it open (Reliability). DEALER of the one that stands by to
 * ROUTER of the one that serves, port P + 4.
 *
 *   FOLLOW  46 | session | version                           asks for the map and all that follows
 *   HAVE    48 | session | sequence                          has everything up to it, in its store, too
 *   BEGIN   42 | session | sequence | standing               the map at this sequence comes, and whose it is
 *   ENTRY   4b | session | key | sequence | ttl | value
 *   SEEN    55 | session | UUIDs, 16 bytes each              of updates applied lately, the oldest first
 *   END     45 | session | sequence
 *   UPDATE  50 | session | key | sequence | uuid | properties | ttl | kind | value
 *   BEAT    54 | session | sequence                          applied up to here
 *
 * Updates come in order, without a gap, from BEGIN on, also between ENTRY and END.
 * The session, 8 random bytes, distinguishes them from those of an earlier FOLLOW. `ttl`: ms
 * that are left, in digits, or none. `kind`: S, D, A or C (operation.ts). The version is
 * one byte, 03: the first had none, and no standing (standing.ts) in BEGIN; the second had
 * no kind C. A server that is asked for another version does not answer, and reports it.
 *
 * Why not by KVPUB, as in the Guide: an update would be at the clients and perhaps
 * not at the other server when this one dies. Here it is published after HAVE.
 */

import type { Operation, OperationKind } from "./operation.js";
import { EMPTY, readSequence, sequenceFrame, UUID_BYTES, updateFault } from "./protocol.js";

export const LinkCommand = {
  FOLLOW: 0x46,
  HAVE: 0x48,
  BEGIN: 0x42,
  ENTRY: 0x4b,
  SEEN: 0x55,
  END: 0x45,
  UPDATE: 0x50,
  BEAT: 0x54,
} as const;
export type LinkCommand = (typeof LinkCommand)[keyof typeof LinkCommand];

export const SESSION_BYTES = 8;
/** Of this link. */
export const LINK_VERSION = 3;
const VERSION_FRAME = Buffer.of(LINK_VERSION);
const KINDS: Readonly<Record<OperationKind, Buffer>> = {
  set: Buffer.from("S"),
  delete: Buffer.from("D"),
  announce: Buffer.from("A"),
  conflict: Buffer.from("C"),
};
const COMMANDS = Object.fromEntries(
  Object.values(LinkCommand).map((command) => [command, Buffer.of(command)]),
) as Readonly<Record<LinkCommand, Buffer>>;

/** Frames of each command, in both directions. */
const COUNTS: Readonly<Record<LinkCommand, number>> = {
  [LinkCommand.FOLLOW]: 3,
  [LinkCommand.HAVE]: 3,
  [LinkCommand.BEGIN]: 4,
  [LinkCommand.ENTRY]: 6,
  [LinkCommand.SEEN]: 3,
  [LinkCommand.END]: 3,
  [LinkCommand.UPDATE]: 9,
  [LinkCommand.BEAT]: 3,
};

/** The command and session of a message, or `undefined` when it is invalid. */
export function parseLink(
  frames: readonly Buffer[],
): { readonly command: LinkCommand; readonly session: Buffer } | undefined {
  const [first, session] = frames;
  if (first?.length !== 1 || session?.length !== SESSION_BYTES) return undefined;
  const command = first[0] as LinkCommand;
  if (COUNTS[command] !== frames.length) return undefined;
  const sequenceAt = command === LinkCommand.ENTRY || command === LinkCommand.UPDATE ? 3 : 2;
  if (command !== LinkCommand.FOLLOW && command !== LinkCommand.SEEN) {
    const sequence = frames[sequenceAt] as Buffer;
    if (updateFault([EMPTY, sequence, EMPTY, EMPTY, EMPTY]) !== undefined) return undefined;
  }
  return { command, session };
}

export function encodeFollow(session: Buffer): Buffer[] {
  return [COMMANDS[LinkCommand.FOLLOW], session, VERSION_FRAME];
}

/** The version of a FOLLOW; 1 had no frame for it. `undefined`: it is not a FOLLOW. */
export function followVersion(frames: readonly Buffer[]): number | undefined {
  const [command, session, version] = frames;
  if (command?.length !== 1 || command[0] !== LinkCommand.FOLLOW || session?.length !== SESSION_BYTES)
    return undefined;
  return frames.length === 2 ? 1 : version?.[0];
}

export function encodeBegin(session: Buffer, sequence: number, standing: Buffer): Buffer[] {
  return [COMMANDS[LinkCommand.BEGIN], session, sequenceFrame(sequence), standing];
}

/** HAVE, END, BEAT. */
export function encodeMark(command: LinkCommand, session: Buffer, sequence: number): Buffer[] {
  return [COMMANDS[command], session, sequenceFrame(sequence)];
}

export function encodeEntry(
  session: Buffer,
  key: Buffer,
  sequence: number,
  ttl: number,
  value: Buffer,
): Buffer[] {
  return [COMMANDS[LinkCommand.ENTRY], session, key, sequenceFrame(sequence), encodeTtl(ttl), value];
}

export function encodeSeen(session: Buffer, uuids: Buffer): Buffer[] {
  return [COMMANDS[LinkCommand.SEEN], session, uuids];
}

export function encodeUpdate(session: Buffer, operation: Operation, now: number): Buffer[] {
  const { key, sequence, uuid, properties, expires, kind, value } = operation;
  const ttl = expires === 0 ? 0 : Math.max(1, expires - now);
  return [
    COMMANDS[LinkCommand.UPDATE],
    session,
    key,
    sequenceFrame(sequence),
    uuid,
    properties,
    encodeTtl(ttl),
    KINDS[kind],
    value,
  ];
}

export interface LinkEntry {
  readonly key: Buffer;
  readonly sequence: number;
  readonly expires: number;
  readonly value: Buffer;
}

/** An ENTRY whose count of frames is right. */
export function parseEntry(frames: readonly Buffer[], now: number): LinkEntry | undefined {
  const [, , key, sequence, ttl, value] = frames as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
  if (key.length === 0 || key.length > 255) return undefined;
  const left = parseTtl(ttl);
  if (left === undefined) return undefined;
  return { key, sequence: readSequence(sequence), expires: left === 0 ? 0 : now + left, value };
}

/** An UPDATE whose count of frames is right. */
export function parseUpdate(frames: readonly Buffer[], now: number): Operation | undefined {
  const [, , key, sequence, uuid, properties, ttl, kindFrame, value] = frames as Buffer[];
  const kind = (Object.keys(KINDS) as OperationKind[]).find((name) =>
    KINDS[name].equals(kindFrame as Buffer),
  );
  const left = parseTtl(ttl as Buffer);
  if (kind === undefined || left === undefined || key === undefined || key.length === 0 || key.length > 255)
    return undefined;
  if (uuid === undefined || (uuid.length !== 0 && uuid.length !== UUID_BYTES)) return undefined;
  return {
    kind,
    key,
    uuid,
    properties: properties as Buffer,
    value: value as Buffer,
    expires: left === 0 ? 0 : now + left,
    counted: false,
    condition: undefined,
    sequence: readSequence(sequence as Buffer),
  };
}

function encodeTtl(ms: number): Buffer {
  return ms === 0 ? EMPTY : Buffer.from(String(Math.ceil(ms)));
}

function parseTtl(frame: Buffer): number | undefined {
  if (frame.length === 0) return 0;
  // As encodeTtl() writes it: "0" and "007" would be a second form of the same update.
  const text = frame.toString("latin1", 0, 17);
  return /^[1-9][0-9]{0,14}$/.test(text) ? Number(text) : undefined;
}
