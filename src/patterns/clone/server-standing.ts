/**
 * How new a server's map is, as it stands in its store: what it may acknowledge, and
 * whether it may serve (standing.ts has the forms and the order).
 *
 *   begins to serve   a new term, alone          in the store before anything is acknowledged in it
 *   the other has all not alone                  in the store before the other one may take over
 *   the other leaves  alone                      in the store before anything is acknowledged without it
 *   hears of a newer  not alone                  it does not serve before it has the other's map
 *
 * So of two stores at most one says "alone", but for servers that are cut from each
 * other, and whoever says so has everything that was acknowledged. If neither does,
 * both have it, or one of them served last and is not here: a server that has not met
 * its peer must not serve then.
 */
import type { StarHolding, StarOrder } from "../binary-star/holding.js";
import { StarState } from "../binary-star/protocol.js";
import type { StarRole } from "../binary-star/rules.js";
import {
  adopted,
  beginTerm,
  commonSequence,
  encodePosition,
  encodeStanding,
  NO_MAP,
  NO_STANDING,
  orderOf,
  type Position,
  parsePosition,
  parseStanding,
  type Standing,
  termOf,
} from "./standing.js";

/** The rest by 3 of a term's number. */
const AUTHORS: Readonly<Record<StarRole | "single", number>> = { primary: 0, backup: 1, single: 2 };

export interface StandingOptions {
  /** `undefined`: a server without a pair. */
  readonly role: StarRole | undefined;
  /** The operator says that this server may serve though it has not met its peer. */
  readonly serveAlone: boolean;
  /** ms until a store that refused is asked again. */
  readonly retry: number;
  /** The name of a map that begins here; 8 random bytes. */
  readonly newMap: Buffer;
}

export interface StandingOutbox {
  /** Has to end in `marked` or `markFailed`; at once without a store. */
  mark(standing: Buffer): void;
  /** A client asks a server that does not serve, since it has not met its peer. Told once. */
  unmet(): void;
  /** It stands by, and would take over from now on, or would not any more: the peer has to know. */
  readyChanged(): void;
}

export class ServerStanding implements StarHolding {
  readonly #options: StandingOptions;
  readonly #outbox: StandingOutbox;
  /** Of the last update that was applied. */
  readonly #sequence: () => number;
  #wanted: Standing = NO_STANDING;
  /** What the store has, for certain; `undefined` while it is being told. */
  #durable: Standing | undefined = NO_STANDING;
  #marking: Standing | undefined;
  #retryAt = Number.POSITIVE_INFINITY;
  #peer: { readonly state: StarState; readonly position: Position } | undefined;
  /** The latest term that was heard of. */
  #known = 0;
  /** The operator said that the other one's map counts. */
  #yielded = false;
  #toldUnmet = false;
  /** Whether it stands by, and would take over. */
  #ready = false;

  constructor(options: StandingOptions, outbox: StandingOutbox, sequence: () => number) {
    this.#options = options;
    this.#outbox = outbox;
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
    return this.#peer?.state === StarState.PASSIVE && this.#peer.position.ready;
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

  /** The store has what it was told. */
  marked(): void {
    this.#durable = this.#marking;
    this.#marking = undefined;
    this.#mark();
  }

  markFailed(now: number): void {
    // Nothing of it took place, or it did: neither may be counted on.
    this.#marking = undefined;
    this.#retryAt = now + this.#options.retry;
  }

  tick(now: number): void {
    if (now < this.#retryAt) return;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.#mark();
  }

  next(): number | undefined {
    return this.#retryAt === Number.POSITIVE_INFINITY ? undefined : this.#retryAt;
  }

  tell(): Uint8Array {
    return encodePosition(this.#position);
  }

  hear(peer: StarState, told: Uint8Array, own: StarState): StarOrder | undefined {
    const position = parsePosition(told);
    if (position === undefined) return undefined;
    this.#peer = { state: peer, position };
    this.#known = Math.max(this.#known, position.term);
    const order = orderOf(this.#position, position);
    // A server with a newer map is there, so that this one's is not the newest, whatever becomes of the other one.
    if (order === "older" && own !== StarState.ACTIVE && this.#wanted.alone)
      this.#want({ ...this.#wanted, alone: false });
    const ready = own === StarState.PASSIVE && this.#mayTakeOver(own);
    if (ready !== this.#ready) {
      this.#ready = ready;
      this.#outbox.readyChanged();
    }
    return order;
  }

  mayTakeOver(own: StarState): boolean {
    const may = this.#mayTakeOver(own);
    if (!may && this.#peer === undefined && !this.#toldUnmet) {
      this.#toldUnmet = true;
      this.#outbox.unmet();
    }
    return may;
  }

  resolved(choice: "active" | "passive"): void {
    this.#yielded = choice === "passive";
  }

  /** The term in which the peer serves, if it does. */
  get servingTerm(): number | undefined {
    return this.#peer?.state === StarState.ACTIVE ? this.#peer.position.term : undefined;
  }

  /** A server alone whose store is not one of a pair needs none of it. */
  get #counts(): boolean {
    return this.#options.role !== undefined || this.term > 0;
  }

  /** As it is told. What the store does not have yet is not counted on. */
  get #position(): Position {
    if (this.#yielded) return { map: NO_MAP, term: 0, sequence: 0, alone: false, ready: false };
    const { map } = this.#wanted;
    const alone = this.#wanted.alone || this.#durable?.alone !== false;
    return { map, term: this.term, sequence: this.#sequence(), alone, ready: this.#ready };
  }

  #mayTakeOver(own: StarState): boolean {
    if (this.#peer === undefined) return this.#wanted.alone || this.#options.serveAlone;
    const { state, position } = this.#peer;
    const order = orderOf(this.#position, position);
    if (order === "older" || order === "foreign") return false;
    // One that serves alone goes on after what it told: this server has not everything, whatever it has.
    if (own === StarState.PASSIVE) return !(state === StarState.ACTIVE && position.alone);
    if (this.#wanted.alone) return true;
    // The peer, which waited as well, would have left the service to this one.
    if (state === StarState.ACTIVE) return false;
    return order === "newer" || (this.#options.role === "primary" && state !== StarState.PASSIVE);
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
    this.#outbox.mark(encodeStanding(this.#wanted));
  }
}
