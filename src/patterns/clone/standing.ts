/**
 * Which map a server has, and how new it is.
 *
 * Each time a server of a pair begins to serve it begins a *term*, a number that no
 * other server has used: (term, sequence) decides which of two copies of a map is
 * the newer, however their servers were killed and started. A term's number is one
 * past all that its server knows of, and leaves its author as the rest by 3: 0 the
 * primary, 1 the backup, 2 a server without a pair.
 *
 *   standing   kept in the store, and sent with a map (link.ts)
 *     {"map":"0102030405060708","terms":[[3,0],[4,7]],"alone":true,"aloneSince":7}
 *   position   published with each state of the Binary Star (P + 3)
 *     {"map":"0102030405060708","term":4,"sequence":9,"alone":false,"ready":true}
 *
 *   map         8 random bytes in hex, of the server that began the first term; "": no term yet
 *   terms       each with the sequence that was the last when it began, the oldest first
 *   alone       this server may have acknowledged what its peer has not: it is the one that knows the newest map
 *   aloneSince  the sequence from which on it may have; left out: it has not
 *   ready       this server stands by, knows that it has everything, and would take over
 */

import { backOff } from "../../core/back-off.js";
import type { BinaryStarOrder, BinaryStarReplica, BinaryStarRole } from "../binary-star/index.js";
import { BinaryStarState } from "../binary-star/index.js";

/** Terms that are kept: what two servers have in common is found among them. */
const MAX_TERMS = 64;
const AUTHOR_COUNT = 3;
/** The operator's word outweighs all terms of a server that is taken for lost. */
const FORCED = 3_000_000;
export const NO_MAP = "";

export interface Term {
  readonly term: number;
  /** The last sequence of the term before. */
  readonly from: number;
}

export interface Standing {
  readonly map: string;
  /** The oldest first. */
  readonly terms: readonly Term[];
  readonly alone: boolean;
  /** `undefined`: nothing was acknowledged that the peer has not. */
  readonly aloneSince: number | undefined;
}

export interface Position {
  readonly map: string;
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
  const pairs = terms.map(({ term, from }) => [term, from]);
  return Buffer.from(JSON.stringify({ map, terms: pairs, alone, aloneSince }));
}

/** @returns `undefined` for a damaged one, or one of another version */
export function parseStanding(bytes: Uint8Array): Standing | undefined {
  const { map, terms: pairs, alone, aloneSince } = parseObject(bytes);
  if (!isMap(map) || !Array.isArray(pairs) || typeof alone !== "boolean") return undefined;
  if (aloneSince !== undefined && !isCount(aloneSince)) return undefined;
  const terms: Term[] = [];
  for (const pair of pairs as unknown[]) {
    const [term, from] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const before = terms[terms.length - 1];
    if (!isCount(term) || !isCount(from)) return undefined;
    if (before !== undefined && !(before.term < term && before.from <= from)) return undefined;
    terms.push({ term, from });
  }
  return { map, terms, alone, aloneSince };
}

export function encodePosition(position: Position): Buffer {
  return Buffer.from(JSON.stringify(position));
}

/** @returns `undefined` for one of another version */
export function parsePosition(bytes: Uint8Array): Position | undefined {
  const { map, term, sequence, alone, ready } = parseObject(bytes);
  if (!isMap(map) || !isCount(term) || !isCount(sequence)) return undefined;
  if (typeof alone !== "boolean" || typeof ready !== "boolean") return undefined;
  return { map, term, sequence, alone, ready };
}

/** @returns an empty object for what is not one in JSON */
function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // Not JSON: of another version, or damaged.
  }
}

function isMap(value: unknown): value is string {
  return typeof value === "string" && /^([0-9a-f]{16})?$/.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** What `ours` is, compared with `theirs`. Of two that are equal, the one that served alone knows more. */
export function orderOf(ours: Position, theirs: Position): BinaryStarOrder {
  if (ours.map !== NO_MAP && theirs.map !== NO_MAP && ours.map !== theirs.map) return "foreign";
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
  newMap: string,
): Standing {
  let term = Math.max(termOf(standing), known) + 1 + (forced ? FORCED : 0);
  while (term % AUTHOR_COUNT !== author) term += 1;
  // A term in which nothing was put in order divides nothing.
  const terms = standing.terms.filter((one, index, all) => (all[index + 1]?.from ?? from) > one.from);
  return {
    map: standing.map === NO_MAP ? newMap : standing.map,
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
  if (ours.map !== NO_MAP && ours.map !== theirs.map) return 0;
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

/** The rest by 3 of a term's number. */
const AUTHORS: Readonly<Record<BinaryStarRole | "single", number>> = { primary: 0, backup: 1, single: 2 };

export interface StandingOptions {
  /** `undefined`: a server without a pair. */
  readonly role: BinaryStarRole | undefined;
  /** The operator says that this server may serve though it has not met its peer. */
  readonly serveAlone: boolean;
  /** ms until a store that refused is asked again, at most; half of it is by chance. */
  readonly retry: number;
  /** For jitter: from 0 up to 1. */
  readonly random: () => number;
  /** The name of a map that begins here: 8 random bytes in hex. */
  readonly newMap: string;
}

export interface StandingEffects {
  /** Has to end in `marked` or `markFailed`; at once without a store. */
  mark(standing: Buffer): void;
  /** A client asks a server that does not serve, since it has not met its peer. Called once. */
  unmet(): void;
  /** It stands by, and would take over from now on, or would not any more: the peer has to know. */
  readyChanged(): void;
}

/**
 * How new a server's map is, as it stands in its store: what it may acknowledge, and
 * whether it may serve.
 *
 *   begins to serve   a new term, alone          in the store before anything is acknowledged in it
 *   the other has all not alone                  in the store before the other one may take over
 *   the other leaves  alone                      in the store before anything is acknowledged without it
 *   hears of a newer  not alone                  it does not serve before it has the other's map
 *
 * So of two stores at most one has "alone", but for servers that are cut from each
 * other, and its server has everything that was acknowledged. If neither does,
 * both have it, or one of them served last and is not here: a server that has not met
 * its peer must not serve then.
 */
export class ServerStanding implements BinaryStarReplica {
  readonly #options: StandingOptions;
  readonly #effects: StandingEffects;
  /** Of the last update that was applied. */
  readonly #sequence: () => number;
  #wanted: Standing = NO_STANDING;
  /** What the store has, for certain; `undefined` while it is being written. */
  #durable: Standing | undefined = NO_STANDING;
  #marking: Standing | undefined;
  #retryAt = Number.POSITIVE_INFINITY;
  #peer: { readonly state: BinaryStarState; readonly position: Position } | undefined;
  /** The latest term that was heard of. */
  #known = 0;
  /** By the operator's choice the other one's map counts. */
  #yielded = false;
  #unmetReported = false;
  /** Whether it stands by, and would take over. */
  #ready = false;

  constructor(options: StandingOptions, effects: StandingEffects, sequence: () => number) {
    this.#options = options;
    this.#effects = effects;
    this.#sequence = sequence;
  }

  /** What the store had. @param bytes `undefined`: it is of a time before there were terms. @returns `false` for another version's */
  restore(bytes: Buffer | undefined, sequence: number): boolean {
    const standing =
      bytes === undefined
        ? { ...NO_STANDING, aloneSince: sequence > 0 ? 0 : undefined }
        : parseStanding(bytes);
    if (standing === undefined) return false;
    this.#wanted = standing;
    this.#durable = standing;
    return true;
  }

  get term(): number {
    return termOf(this.#wanted);
  }

  get standing(): Standing {
    return this.#wanted;
  }

  /** Whether updates may be acknowledged that the other server has, too. */
  get inTerm(): boolean {
    return !this.#counts || (this.#durable !== undefined && termOf(this.#durable) === this.term);
  }

  /** Whether updates may be acknowledged that the other server has not. */
  get alone(): boolean {
    return !this.#counts || (this.inTerm && this.#durable?.alone === true && this.#wanted.alone);
  }

  /** Whether the other server stands by, and knows that it may take over. */
  get peerReady(): boolean {
    return this.#peer?.state === BinaryStarState.PASSIVE && this.#peer.position.ready;
  }

  /** Whether the store says that the other server has everything. */
  get shared(): boolean {
    return this.inTerm && this.#durable?.alone === false && !this.#wanted.alone;
  }

  /** It serves from now on. @param from the last sequence of the order so far. @param forced by the operator's word */
  begin(from: number, forced: boolean): void {
    if (!this.#counts) return;
    const { role, newMap } = this.#options;
    const unmet = role !== undefined && this.#peer === undefined && !this.#wanted.alone;
    const author = AUTHORS[role ?? "single"];
    this.#yielded = false;
    this.#want(beginTerm(this.#wanted, author, this.#known, from, forced || unmet, newMap));
  }

  /** The other server is in step from now on, or is not any more. */
  setAlone(alone: boolean): void {
    if (!this.#counts || this.#wanted.alone === alone) return;
    const aloneSince = alone ? (this.#wanted.aloneSince ?? this.#sequence()) : undefined;
    this.#want({ ...this.#wanted, alone, aloneSince });
  }

  /** The store has the other server's map. */
  adopt(theirs: Standing): void {
    this.#yielded = false;
    this.#wanted = adopted(theirs);
    this.#durable = this.#wanted;
  }

  /**
   * What this server acknowledged alone, and the other one's map has not.
   *
   * @returns the sequence after which they differ, and how many updates there are after it; `undefined`: none
   */
  lostTo(
    theirs: Standing,
    sequence: number,
  ): { readonly after: number; readonly updates: number } | undefined {
    const { aloneSince } = this.#wanted;
    const own = this.#sequence();
    const after = commonSequence(this.#wanted, own, theirs, sequence);
    if (aloneSince === undefined || own <= after) return undefined;
    return { after, updates: own - Math.max(after, Math.min(aloneSince, own)) };
  }

  /** The store has what it was given. */
  marked(): void {
    this.#durable = this.#marking;
    this.#marking = undefined;
    this.#mark();
  }

  markFailed(now: number): void {
    // Nothing of it took place, or it did: neither may be counted on.
    this.#marking = undefined;
    const { retry, random } = this.#options;
    this.#retryAt = now + backOff(0, retry, retry, random);
  }

  tick(now: number): void {
    if (now < this.#retryAt) return;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#mark();
  }

  next(): number | undefined {
    return this.#retryAt === Number.POSITIVE_INFINITY ? undefined : this.#retryAt;
  }

  position(): Uint8Array {
    return encodePosition(this.#position);
  }

  compare(peer: BinaryStarState, theirs: Uint8Array, own: BinaryStarState): BinaryStarOrder | undefined {
    const position = parsePosition(theirs);
    if (position === undefined) return undefined;
    this.#peer = { state: peer, position };
    this.#known = Math.max(this.#known, position.term);
    const order = orderOf(this.#position, position);
    // A server with a newer map is there, so that this one's is not the newest, whatever becomes of the other one.
    if (order === "older" && own !== BinaryStarState.ACTIVE && this.#wanted.alone)
      this.#want({ ...this.#wanted, alone: false });
    const ready = own === BinaryStarState.PASSIVE && this.#mayTakeOver(own);
    if (ready !== this.#ready) {
      this.#ready = ready;
      this.#effects.readyChanged();
    }
    return order;
  }

  mayTakeOver(own: BinaryStarState): boolean {
    const may = this.#mayTakeOver(own);
    if (!may && this.#peer === undefined && !this.#unmetReported) {
      this.#unmetReported = true;
      this.#effects.unmet();
    }
    return may;
  }

  resolved(choice: "active" | "passive"): void {
    this.#yielded = choice === "passive";
  }

  /** The term in which the peer serves, if it does. */
  get servingTerm(): number | undefined {
    return this.#peer?.state === BinaryStarState.ACTIVE ? this.#peer.position.term : undefined;
  }

  /** A server alone whose store is not one of a pair needs none of it. */
  get #counts(): boolean {
    return this.#options.role !== undefined || this.term > 0;
  }

  /** As it is published. What the store does not have yet is not counted on. */
  get #position(): Position {
    if (this.#yielded) return { map: NO_MAP, term: 0, sequence: 0, alone: false, ready: false };
    const { map } = this.#wanted;
    const alone = this.#wanted.alone || this.#durable?.alone !== false;
    return { map, term: this.term, sequence: this.#sequence(), alone, ready: this.#ready };
  }

  #mayTakeOver(own: BinaryStarState): boolean {
    if (this.#peer === undefined) return this.#wanted.alone || this.#options.serveAlone;
    const { state, position } = this.#peer;
    const order = orderOf(this.#position, position);
    if (order === "older" || order === "foreign") return false;
    // One that serves alone goes on past its position: this server does not have everything, whatever it has.
    if (own === BinaryStarState.PASSIVE) return !(state === BinaryStarState.ACTIVE && position.alone);
    if (this.#wanted.alone) return true;
    // The peer, which waited as well, would have left the service to this one.
    if (state === BinaryStarState.ACTIVE) return false;
    return order === "newer" || (this.#options.role === "primary" && state !== BinaryStarState.PASSIVE);
  }

  #want(standing: Standing): void {
    this.#wanted = standing;
    this.#mark();
  }

  #mark(): void {
    if (this.#marking !== undefined || this.#durable === this.#wanted) return;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#marking = this.#wanted;
    this.#durable = undefined;
    this.#effects.mark(encodeStanding(this.#wanted));
  }
}
