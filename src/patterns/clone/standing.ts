/**
 * Which map a server has, and how new it is.
 *
 * Each time a server of a pair begins to serve it begins a *term*, a number that no
 * other server has used: (term, sequence) says of two copies of a map which one is
 * the newer, however their servers were killed and started. A term's number is one
 * past all that its server knows of, and leaves its author as the rest by 3: 0 the
 * primary, 1 the backup, 2 a server without a pair.
 *
 *   standing   kept in the store, and sent with a map (P + 4)
 *     version 1 | flags 1 | alone since 8 | map 8 | (term 8 | from 8) ...     the oldest term first
 *   position   told with each state of the Binary Star (P + 3)
 *     version 1 | flags 1 | map 8 | term 8 | sequence 8
 *
 *   flags        bit 0: alone; bit 1, of a position: ready
 *   alone        this server may have acknowledged what its peer has not: it is the one that knows the newest map
 *   ready        this server stands by, knows that it has everything, and would take over
 *   alone since  the sequence from which it may have; all bits set: it has not
 *   map          random, of the server that began the first term; zero: not one yet
 *   from         the sequence that was the last when the term began
 */
import type { StarOrder } from "../binary-star/holding.js";
import { readSequence, writeSequence } from "./protocol.js";

/** Of both forms. */
const VERSION = 1;
export const MAP_BYTES = 8;
const ALONE = 1;
const READY = 2;
/** Terms that are kept: what two servers have in common is found among them. */
const MAX_TERMS = 64;
const AUTHORS = 3;
/** The operator's word outweighs all terms of a server that is taken for lost. */
const FORCED = 3_000_000;
const POSITION_BYTES = 26;
const HEADER = 18;
const TERM_BYTES = 16;
const NEVER = Buffer.alloc(8, 0xff);
export const NO_MAP: Buffer = Buffer.alloc(MAP_BYTES);

export interface Term {
  readonly term: number;
  /** The last sequence of the term before. */
  readonly from: number;
}

export interface Standing {
  readonly map: Buffer;
  /** The oldest first. */
  readonly terms: readonly Term[];
  readonly alone: boolean;
  /** `undefined`: nothing was acknowledged that the peer has not. */
  readonly aloneSince: number | undefined;
}

export interface Position {
  readonly map: Buffer;
  readonly term: number;
  readonly sequence: number;
  readonly alone: boolean;
  readonly ready: boolean;
}

/** Of a server that has nothing yet. */
export const NO_STANDING: Standing = { map: NO_MAP, terms: [], alone: false, aloneSince: undefined };

export function termOf({ terms }: Standing): number {
  return terms[terms.length - 1]?.term ?? 0;
}

export function encodeStanding({ map, terms, alone, aloneSince }: Standing): Buffer {
  const bytes = Buffer.alloc(HEADER + terms.length * TERM_BYTES);
  bytes[0] = VERSION;
  bytes[1] = alone ? ALONE : 0;
  if (aloneSince === undefined) bytes.set(NEVER, 2);
  else writeSequence(bytes, 2, aloneSince);
  bytes.set(map, 10);
  for (const [index, { term, from }] of terms.entries()) {
    writeSequence(bytes, HEADER + index * TERM_BYTES, term);
    writeSequence(bytes, HEADER + index * TERM_BYTES + 8, from);
  }
  return bytes;
}

/** @returns `undefined` for what is of another version, or damaged */
export function parseStanding(bytes: Uint8Array): Standing | undefined {
  if (bytes[0] !== VERSION || bytes.length < HEADER || (bytes.length - HEADER) % TERM_BYTES !== 0)
    return undefined;
  const terms: Term[] = [];
  for (let at = HEADER; at < bytes.length; at += TERM_BYTES) {
    const term = { term: readSequence(bytes, at), from: readSequence(bytes, at + 8) };
    const before = terms[terms.length - 1];
    if (!isSafe(term) || (before !== undefined && !(before.term < term.term && before.from <= term.from)))
      return undefined;
    terms.push(term);
  }
  const since = bytes.subarray(2, 10);
  const aloneSince = NEVER.equals(since) ? undefined : readSequence(since);
  if (aloneSince !== undefined && !Number.isSafeInteger(aloneSince)) return undefined;
  const alone = ((bytes[1] as number) & ALONE) !== 0;
  return { map: Buffer.from(bytes.subarray(10, HEADER)), terms, alone, aloneSince };
}

export function encodePosition({ map, term, sequence, alone, ready }: Position): Buffer {
  const bytes = Buffer.alloc(POSITION_BYTES);
  bytes[0] = VERSION;
  bytes[1] = (alone ? ALONE : 0) | (ready ? READY : 0);
  bytes.set(map, 2);
  writeSequence(bytes, 10, term);
  writeSequence(bytes, 18, sequence);
  return bytes;
}

/** @returns `undefined` for what is of another version, or none */
export function parsePosition(bytes: Uint8Array): Position | undefined {
  if (bytes.length !== POSITION_BYTES || bytes[0] !== VERSION) return undefined;
  const position = {
    map: Buffer.from(bytes.subarray(2, 10)),
    term: readSequence(bytes, 10),
    sequence: readSequence(bytes, 18),
    alone: ((bytes[1] as number) & ALONE) !== 0,
    ready: ((bytes[1] as number) & READY) !== 0,
  };
  return Number.isSafeInteger(position.term) && Number.isSafeInteger(position.sequence)
    ? position
    : undefined;
}

/** What `ours` is, compared with `theirs`. Of two that are equal, the one that served alone knows more. */
export function orderOf(ours: Position, theirs: Position): StarOrder {
  if (!NO_MAP.equals(ours.map) && !NO_MAP.equals(theirs.map) && !ours.map.equals(theirs.map))
    return "foreign";
  const difference =
    ours.term - theirs.term || ours.sequence - theirs.sequence || Number(ours.alone) - Number(theirs.alone);
  if (difference === 0) return "same";
  return difference > 0 ? "newer" : "older";
}

/** A server begins to serve. @param known the latest term that it has heard of. @param forced by the operator's word */
export function beginTerm(
  standing: Standing,
  author: number,
  known: number,
  from: number,
  forced: boolean,
  newMap: Buffer,
): Standing {
  let term = Math.max(termOf(standing), known) + 1 + (forced ? FORCED : 0);
  while (term % AUTHORS !== author) term += 1;
  // A term in which nothing was put in order divides nothing.
  const terms = standing.terms.filter((one, index, all) => (all[index + 1]?.from ?? from) > one.from);
  return {
    map: NO_MAP.equals(standing.map) ? newMap : standing.map,
    terms: [...terms, { term, from }].slice(-MAX_TERMS),
    alone: true,
    aloneSince: standing.aloneSince ?? from,
  };
}

/** A server has the other one's map from now on. */
export function adopted({ map, terms }: Standing): Standing {
  return { map, terms, alone: false, aloneSince: undefined };
}

/** Up to which sequence two copies of a map are one: past it each has what the other has not. */
export function commonSequence(
  ours: Standing,
  ourSequence: number,
  theirs: Standing,
  theirSequence: number,
): number {
  if (!NO_MAP.equals(ours.map) && !ours.map.equals(theirs.map)) return 0;
  const [mine, other] = [termsFrom(ours), termsFrom(theirs)];
  for (let index = mine.length - 1; index >= 0; index--) {
    const { term } = mine[index] as Term;
    const at = other.findIndex((one) => one.term === term);
    if (at < 0) continue;
    return Math.min(mine[index + 1]?.from ?? ourSequence, other[at + 1]?.from ?? theirSequence);
  }
  return 0;
}

/** With what was before all terms, where nothing of it is forgotten. */
function termsFrom({ terms }: Standing): readonly Term[] {
  return terms.length < MAX_TERMS ? [{ term: 0, from: 0 }, ...terms] : terms;
}

function isSafe({ term, from }: Term): boolean {
  return Number.isSafeInteger(term) && Number.isSafeInteger(from);
}
