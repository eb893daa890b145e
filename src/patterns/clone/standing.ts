/**
 * Decides which of two copies of a map is newer, by (term, sequence).
 *
 * A server of a pair begins a *term* each time it begins to serve. Its number is above all terms that the server
 * knows, and its remainder by 3 is the author: 0 the primary, 1 the backup, 2 a server without a pair. So no two
 * servers use one number.
 *
 *   standing   in the store, and sent with a map (replication.ts)
 *     {"map":"0102030405060708","term":4,"alone":true}
 *   position   published with each state of the Binary Star (P + 3)
 *     {"map":"0102030405060708","term":4,"sequence":9,"alone":false,"ready":true}
 *
 *   map    8 random bytes in hex, of the server that began the first term; empty before
 *   alone  updates may be acknowledged here that the peer lacks: this map is the newest
 *   ready  this server stands by, has everything, and would take over
 */

import type { BinaryStarOrder, BinaryStarReplica, BinaryStarRole } from "../binary-star/index.js";
import { BinaryStarState } from "../binary-star/index.js";
import type { ServerRulesOptions } from "./server-options.js";

const AUTHOR_COUNT = 3;
/** Added to a term by the operator's decision: above all terms of a lost server. */
const FORCED = 3_000_000;
/** Of a peer: there are numbers for the terms after it. */
export const MAX_PEER_TERM = 2 ** 52;
export const NO_MAP = "";

export interface Standing {
  readonly map: string;
  readonly term: number;
  readonly alone: boolean;
}

export interface Position extends Standing {
  readonly sequence: number;
  readonly ready: boolean;
}

export const NO_STANDING: Standing = { map: NO_MAP, term: 0, alone: false };

export function encodeStanding({ map, term, alone }: Standing): Buffer {
  return Buffer.from(JSON.stringify({ map, term, alone }));
}

/** @returns `undefined` for a damaged one, or another version */
export function parseStanding(
  bytes: Uint8Array,
  maxTerm: number = Number.MAX_SAFE_INTEGER,
): Standing | undefined {
  const { map, term, alone } = parseObject(bytes);
  if (!isMap(map) || !isCount(term) || term > maxTerm || typeof alone !== "boolean") return undefined;
  return { map, term, alone };
}

export function encodePosition(position: Position): Buffer {
  return Buffer.from(JSON.stringify(position));
}

/** @returns `undefined` for another version */
export function parsePosition(bytes: Uint8Array): Position | undefined {
  const standing = parseStanding(bytes, MAX_PEER_TERM);
  const { sequence, ready } = parseObject(bytes);
  if (standing === undefined || !isCount(sequence) || typeof ready !== "boolean") return undefined;
  return { ...standing, sequence, ready };
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // Another version, or damaged.
  }
}

function isMap(value: unknown): value is string {
  return typeof value === "string" && /^([0-9a-f]{16})?$/.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The server that served alone knows more of two equal positions. */
export function orderOf(ours: Position, theirs: Position): BinaryStarOrder {
  if (ours.map !== NO_MAP && theirs.map !== NO_MAP && ours.map !== theirs.map) return "foreign";
  const difference =
    ours.term - theirs.term || ours.sequence - theirs.sequence || Number(ours.alone) - Number(theirs.alone);
  if (difference === 0) return "same";
  return difference > 0 ? "newer" : "older";
}

export function adopted({ map, term }: Standing): Standing {
  return { map, term, alone: false };
}

type StandingOptions = Pick<ServerRulesOptions, "role" | "hasStore" | "heartbeatInterval" | "token">;

interface StandingEffects {
  mark(standing: Buffer): void;
  announce(): void;
  event(event: { readonly type: "peer:unmet" | "map:diverged" }): void;
}

const AUTHORS: Readonly<Record<BinaryStarRole | "single", number>> = { primary: 0, backup: 1, single: 2 };

/**
 * A server's standing in its store, which decides what it may acknowledge and whether it may serve.
 *
 *   event                        written    before
 *   it begins to serve           alone      an acknowledgement in the new term
 *   the other has everything     not alone  the other may take over
 *   the other leaves             alone      an acknowledgement without it
 *   the other has a newer map    not alone  it loads that map
 *
 * Except after a cut between the servers, at most one store has "alone", and that server has every acknowledged
 * update. With none, both have them, or the server that served last is away, and one that has not met its peer must
 * not serve.
 */
export class ServerStanding implements BinaryStarReplica {
  readonly #options: StandingOptions;
  readonly #effects: StandingEffects;
  readonly #sequence: () => number;
  /** As it has to be in the store. */
  wanted: Standing = NO_STANDING;
  /** Certainly in the store; `undefined` during a write. */
  #durable: Standing | undefined = NO_STANDING;
  #marking: Standing | undefined;
  /** When a failed write is repeated. */
  retryAt = Number.POSITIVE_INFINITY;
  #peer: { readonly state: BinaryStarState; readonly position: Position } | undefined;
  /** The latest term of the peer. */
  #known = 0;
  #yielded = false;
  #unmetReported = false;
  #ready = false;

  /** @param sequence of the map */
  constructor(options: StandingOptions, effects: StandingEffects, sequence: () => number) {
    this.#options = options;
    this.#effects = effects;
    this.#sequence = sequence;
  }

  /** @param bytes `undefined`: a new store. @returns `false` for an unreadable one */
  restore(bytes: Buffer | undefined): boolean {
    const standing = bytes === undefined ? NO_STANDING : parseStanding(bytes);
    if (standing === undefined) return false;
    this.wanted = standing;
    this.#durable = standing;
    return true;
  }

  /** Whether updates may be acknowledged once the other server has them. */
  get inTerm(): boolean {
    return !this.#counts || (this.#durable !== undefined && this.#durable.term === this.wanted.term);
  }

  /** Whether updates may be acknowledged without the other server. */
  get alone(): boolean {
    return !this.#counts || (this.inTerm && this.#durable?.alone === true && this.wanted.alone);
  }

  /** Whether the store has "not alone", and the peer would take over. */
  get shared(): boolean {
    if (this.#peer?.state !== BinaryStarState.PASSIVE || !this.#peer.position.ready) return false;
    return this.inTerm && this.#durable?.alone === false && !this.wanted.alone;
  }

  /** @param forced by the operator's decision */
  begin(forced: boolean): void {
    if (!this.#counts) return;
    const { role, token } = this.#options;
    const { map, alone } = this.wanted;
    // A server of a pair that was started again without it: the operator's decision, too.
    const isForced = forced || (this.#peer === undefined && !alone);
    let term = Math.max(this.wanted.term, this.#known) + 1 + (isForced ? FORCED : 0);
    while (term % AUTHOR_COUNT !== AUTHORS[role ?? "single"]) term += 1;
    this.#yielded = false;
    this.#want({ map: map === NO_MAP ? token.toString("hex") : map, term, alone: true });
  }

  setAlone(alone: boolean): void {
    if (!this.#counts || this.wanted.alone === alone) return;
    this.#want({ ...this.wanted, alone });
  }

  /** Before the map is replaced. */
  adopt(theirs: Standing): void {
    this.#yielded = false;
    // A map without a term is that of a server without a pair.
    if (this.wanted.alone || (this.wanted.term === 0 && this.#sequence() > 0))
      this.#effects.event({ type: "map:diverged" });
    this.wanted = adopted(theirs);
    this.#durable = this.wanted;
  }

  marked(): void {
    this.#durable = this.#marking;
    this.#marking = undefined;
    this.#mark();
  }

  markFailed(now: number): void {
    this.#marking = undefined;
    this.retryAt = now + this.#options.heartbeatInterval;
  }

  tick(now: number): void {
    if (now >= this.retryAt) this.#mark();
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
    // This map is not the newest.
    if (order === "older" && own !== BinaryStarState.ACTIVE && this.wanted.alone) {
      this.#effects.event({ type: "map:diverged" });
      this.setAlone(false);
    }
    const ready = own === BinaryStarState.PASSIVE && this.#mayTakeOver(own);
    if (ready !== this.#ready) {
      this.#ready = ready;
      this.#effects.announce();
    }
    return order;
  }

  mayTakeOver(own: BinaryStarState): boolean {
    // What the peer said before the pause is outdated.
    if (own === BinaryStarState.ACTIVE) this.#peer = undefined;
    const may = this.#mayTakeOver(own);
    if (!may && this.#peer === undefined && !this.#unmetReported) {
      this.#unmetReported = true;
      this.#effects.event({ type: "peer:unmet" });
    }
    return may;
  }

  resolved(choice: "active" | "passive"): void {
    this.#yielded = choice === "passive";
  }

  get servingTerm(): number | undefined {
    return this.#peer?.state === BinaryStarState.ACTIVE ? this.#peer.position.term : undefined;
  }

  /** A single server has one only with the store of a pair. */
  get #counts(): boolean {
    return this.#options.role !== undefined || this.wanted.term > 0;
  }

  /** Without claims that the store does not have yet. */
  get #position(): Position {
    if (this.#yielded) return { map: NO_MAP, term: 0, sequence: 0, alone: false, ready: false };
    const { map } = this.wanted;
    const alone = this.wanted.alone || this.#durable?.alone !== false;
    return { map, term: this.wanted.term, sequence: this.#sequence(), alone, ready: this.#ready };
  }

  #mayTakeOver(own: BinaryStarState): boolean {
    if (this.#peer === undefined) return this.wanted.alone;
    const { state, position } = this.#peer;
    const order = orderOf(this.#position, position);
    if (order === "older" || order === "foreign") return false;
    // A peer that serves alone continues past its position.
    if (own === BinaryStarState.PASSIVE) return !(state === BinaryStarState.ACTIVE && position.alone);
    if (this.wanted.alone) return true;
    // The peer waited as well.
    if (state === BinaryStarState.ACTIVE) return false;
    return order === "newer" || (this.#options.role === "primary" && state !== BinaryStarState.PASSIVE);
  }

  #want(standing: Standing): void {
    this.wanted = standing;
    this.#mark();
  }

  #mark(): void {
    this.retryAt = Number.POSITIVE_INFINITY;
    if (this.#marking !== undefined || this.#durable === this.wanted) return;
    if (!this.#options.hasStore) {
      this.#durable = this.wanted;
      this.#effects.announce();
      return;
    }
    this.#marking = this.wanted;
    this.#durable = undefined;
    this.#effects.mark(encodeStanding(this.wanted));
  }
}
