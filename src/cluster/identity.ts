/**
 * Identity of a node: its id, its name, and the order of its lives and statements.
 *
 *   id            16 random bytes, as 32 hexadecimal digits
 *   name          name@host
 *   incarnation   (start, count): wall clock in ms at the start, and a counter of the node's own statements
 *
 * Clock jumps do not matter for the lives of one id: a node that hears of a later start of its id continues from there.
 */
import { createHash } from "node:crypto";
import { quoted } from "../core/arguments.js";
import { randomId } from "../core/bytes.js";
import { InvalidArgumentError } from "../core/errors.js";
import { MAX_NAME, MAX_SHORT_NAME } from "./bounds.js";

/** 6 and 4 bytes. */
export const MAX_START = 2 ** 48 - 1;
export const MAX_COUNT = 2 ** 32 - 1;

/** 50 years: starts this far ahead of the node's own, and removals this far ahead of the clock, count as forged. */
export const MAX_AHEAD = 50 * 365 * 86_400_000;

/** Limit for other nodes' starts: the node's own statements need room up to `MAX_START`. */
export const MAX_HEARD_START = MAX_START - 2 ** 32;

export interface Incarnation {
  readonly start: number;
  readonly count: number;
}

// White space, control characters, and separators of command lines and logs are excluded.
const NAME = /^[^\s\p{C}@"'\\,;]+@[^\s\p{C}@"'\\,;]+$/u;

export { randomId as createId };

export function isId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

export function isName(text: string): boolean {
  return text.length <= MAX_NAME && NAME.test(text) && Buffer.byteLength(text) <= MAX_NAME;
}

/**
 * @param host used if the name has none
 * @throws InvalidArgumentError `EINVAL` for a name that is too long or has invalid characters
 */
export function fullName(name: string, host: string): string {
  const full = name.includes("@") ? name : `${name}@${host}`;
  if (!isName(full))
    throw new InvalidArgumentError(
      `a node's name must be name@host of at most ${MAX_NAME} bytes without blanks, quotes, commas or a second "@"; got ${quoted(full)}`,
    );
  return full;
}

/** The first 4 bytes of an id as a number, never 0. Used where a collision costs one probe. */
export function shortId(id: string): number {
  const number = Number.parseInt(id.slice(0, 8), 16);
  return number === 0 ? 1 : number;
}

/**
 * Number of a cluster name in packets: the first 6 bytes of its SHA-256.
 *
 * @throws InvalidArgumentError `EINVAL` for an empty name, or one of more than 64 bytes
 */
export function namespaceNumber(name: string): number {
  if (typeof name !== "string" || name === "" || Buffer.byteLength(name) > MAX_SHORT_NAME)
    throw new InvalidArgumentError(
      `a cluster name must have 1 to ${MAX_SHORT_NAME} bytes; got ${quoted(name)}`,
    );
  return createHash("sha256").update(name).digest().readUIntBE(0, 6);
}

/** Negative if the first is older, 0 if equal, positive if newer. */
export function compareIncarnations(a: Incarnation, b: Incarnation): number {
  return a.start !== b.start ? a.start - b.start : a.count - b.count;
}

/** A full counter continues in the next millisecond. */
export function nextIncarnation({ start, count }: Incarnation): Incarnation {
  return count >= MAX_COUNT ? { start: start + 1, count: 0 } : { start, count: count + 1 };
}

/**
 * Reaction of a node to a statement about its own id.
 *
 * @param mine its incarnation
 * @param heard the incarnation in the statement
 * @returns an incarnation newer than both; `undefined` if the statement is from an earlier life or forged
 */
export function incarnationAfter(mine: Incarnation, heard: Incarnation): Incarnation | undefined {
  if (heard.start < mine.start || heard.start - mine.start > MAX_AHEAD) return undefined;
  // A later start is from an earlier life of this id: the clock was ahead then, or is behind now.
  const next =
    heard.start === mine.start
      ? nextIncarnation({ start: mine.start, count: Math.max(mine.count, heard.count) })
      : { start: heard.start + 1, count: 0 };
  // Each forged statement could advance it by up to 50 years, and a packet has many.
  return next.start > mine.start && next.start > MAX_HEARD_START ? undefined : next;
}

export interface Claimant {
  readonly id: string;
  readonly start: number;
}

/** Whether the first of two nodes with one name keeps it: it started earlier, or at the same time with the lower id. */
export function keepsName(a: Claimant, b: Claimant): boolean {
  return a.start !== b.start ? a.start < b.start : a.id < b.id;
}
