/**
 * Who a node is: its id, its name, and which of its lives and statements is the newest.
 *
 *   id            16 random bytes, as 32 hexadecimal digits
 *   name          name@host
 *   incarnation   (start, count): wall clock in ms at the start, and a counter of the node's own statements
 *
 * A start is compared only with starts of the same id (newer life), and where two nodes have one name (who came first).
 * Clocks that jump are harmless for the first: a node that finds a later start of its own id continues from there.
 */
import { quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_BUS_NAME, MAX_NAME } from "./bounds.js";

/** The greatest start and the greatest count: 6 and 4 bytes. */
export const MAX_START = 2 ** 48 - 1;
export const MAX_COUNT = 2 ** 32 - 1;

/** ms that a start may lie ahead of one's own, and a removal ahead of the clock, before it counts as forged: 50 years. */
export const MAX_AHEAD = 50 * 365 * 86_400_000;

/** What others say moves no start past this: a node goes on from there by itself, and past `MAX_START` there is no packet of it. */
export const MAX_HEARD_START = MAX_START - 2 ** 32;

/** Which statement of a node is the newer one. */
export interface Incarnation {
  readonly start: number;
  readonly count: number;
}

const ID = /^[0-9a-f]{32}$/;
// No white space, control characters or separators of command lines and logs.
const NAME = /^[^\s\p{C}@"'\\,;]+@[^\s\p{C}@"'\\,;]+$/u;

/** A new id, from the system's random source. */
export function createId(): string {
  return process.getBuiltinModule("node:crypto").randomBytes(16).toString("hex");
}

export function isId(text: string): boolean {
  return ID.test(text);
}

export function isName(text: string): boolean {
  return text.length <= MAX_NAME && NAME.test(text) && Buffer.byteLength(text) <= MAX_NAME;
}

/**
 * The full name of a node.
 *
 * @param name with or without a host
 * @param host for a name without one
 * @throws InvalidArgumentError `EINVAL` for a name that is too long or has characters that names do not have
 */
export function fullName(name: string, host: string): string {
  const full = name.includes("@") ? name : `${name}@${host}`;
  if (!isName(full))
    throw new InvalidArgumentError(
      `a node's name is name@host, ${MAX_NAME} bytes at most, without blanks, quotes, commas or a second "@"; got ${quoted(full)}`,
    );
  return full;
}

/** The first 4 bytes of an id as a number: enough where a mistake costs one probe. Never 0. */
export function shortId(id: string): number {
  const number = Number.parseInt(id.slice(0, 8), 16);
  return number === 0 ? 1 : number;
}

/**
 * The 6 bytes that stand for a bus in every packet: the beginning of SHA-256 of its name.
 *
 * @throws InvalidArgumentError `EINVAL` for an empty name, or one of more than 64 bytes
 */
export function busNumber(name: string): number {
  if (name === "" || Buffer.byteLength(name) > MAX_BUS_NAME)
    throw new InvalidArgumentError(`a bus has a name of 1 to ${MAX_BUS_NAME} bytes; got ${quoted(name)}`);
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(name).digest().readUIntBE(0, 6);
}

/** Below 0: the first is older; 0: the same; above 0: it is newer. */
export function compareIncarnations(aStart: number, aCount: number, bStart: number, bCount: number): number {
  return aStart !== bStart ? aStart - bStart : aCount - bCount;
}

/** The statement after this one. A counter that is full goes on in the next millisecond. */
export function nextIncarnation({ start, count }: Incarnation): Incarnation {
  return count >= MAX_COUNT ? { start: start + 1, count: 0 } : { start, count: count + 1 };
}

/**
 * What a node becomes when it hears a statement about its own id.
 *
 * @param mine its incarnation
 * @param heard what the cluster has of it
 * @returns the incarnation that is newer than both; `undefined` when what it heard is of a life before, and when it can
 * only be forged: nothing is to be done then
 */
export function incarnationAfter(mine: Incarnation, heard: Incarnation): Incarnation | undefined {
  if (heard.start < mine.start || heard.start - mine.start > MAX_AHEAD) return undefined;
  // One with a later start is of a life of this id whose clock was ahead, or is behind now. It was before this one.
  const next =
    heard.start === mine.start
      ? nextIncarnation({ start: mine.start, count: Math.max(mine.count, heard.count) })
      : { start: heard.start + 1, count: 0 };
  // Each statement may take it 50 years further, and a packet has many.
  return next.start > mine.start && next.start > MAX_HEARD_START ? undefined : next;
}

/** What decides between two nodes that have one name. */
export interface Claimant {
  readonly id: string;
  readonly start: number;
}

/**
 * Whether the first keeps a name that both have: it started before the other, or at the same time and has the lower id.
 * The same at every node that knows both.
 */
export function keepsName(a: Claimant, b: Claimant): boolean {
  return a.start !== b.start ? a.start < b.start : a.id < b.id;
}
