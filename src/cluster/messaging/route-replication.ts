/**
 * Who is interested in what: the rules by which each node's interest reaches all others. No socket, no timer, no clock. Why so is
 * in docs/internals/routes.md.
 *
 *   own interest ─> versions ─> PUSH, by way of the ring (route-waves.ts) ─> each node's copy; acknowledged back along the same way
 *   now and then, and when a peer comes: DIGEST ─> VERSIONS where they differ ─> WANT from who has more ─> BLOCK …
 *
 * Only a node itself makes versions of its interest. A copy goes from version to version, in order, or is replaced by a snapshot; so
 * a copy of a version is what the node had then. What a node states of itself over its own link is believed. What another one
 * hands on has to carry its signature, with the key that it announces to the cluster; so nobody changes the routes of another.
 *
 * Small changes are pushed. Everything else is pulled (route-pulls.ts): the reader asks for the next blocks when it has handled the last ones and
 * some time has passed (route-pace.ts), so a million routes take neither the link nor the turn from others.
 *
 * A lost node's routes stay for the grace period, and lead nowhere meanwhile; those of a node that left, was removed, or began another
 * life, go at once.
 */
import { InvalidStateError } from "../../core/errors.js";
import { MAX_MEMBERS } from "../bounds.js";
import {
  MAX_ROUTE_PULLS,
  ROUTE_BUCKETS,
  ROUTE_DIGEST_INTERVAL,
  ROUTE_DIGESTS,
  ROUTE_DISTRUST,
  ROUTE_FLUSH,
  ROUTE_GRACE,
  ROUTE_LISTED,
  ROUTE_SERVED,
  ROUTE_SERVED_CREDIT,
  ROUTE_SETTLE,
} from "./bounds.js";
import { OwnRoutes } from "./own-routes.js";
import type { MessageRoutesStats, SendResult } from "./parts.js";
import { RoutePulls } from "./route-pulls.js";
import { Replica, ROUTE_LIMITS, type RouteLimits, RouteNumbers, type RouteStores } from "./route-replica.js";
import { RouteRing } from "./route-ring.js";
import { LOOK, RouteWaves } from "./route-waves.js";
import {
  type Block,
  decodeRouteItem,
  encodeBlockItem,
  encodeDigest,
  encodeNone,
  encodeVersions,
  Operation,
  RouteItem,
  type RouteMessage,
  type RouteVersion,
  SIGNATURE_BYTES,
  signedPart,
} from "./route-wire.js";

/** Blocks that one flush makes of the own interest at most: a turn is not to be longer. */
const BLOCKS_A_FLUSH = 8;
/** Blocks of one flush that are pushed; more are announced, and pulled. */
const PUSHED_BLOCKS = 2;
/** ms until a snapshot that nobody asks for any more is given up. */
const SNAPSHOT_IDLE = 30_000;
/** ms within which a newcomer's peers send their digests. */
const GREETING_SPREAD = 200;
/** Beyond those that it sends to anyhow, a node greets a newcomer with the probability of this number by the number of all. */
const GREETED = 4;
/** ms between two digests to one peer, at least: fewer in a second than the peer looks at. */
const DIGEST_PAUSE = 300;
/** ms after which a member whose interest is waited for is asked again: it did not know this node yet. */
const ASK_UNSETTLED_PAUSE = 100;
/** Nodes remembered that sent something before they were members here. */
const MAX_STRANGERS = 256;
const NEVER = Number.POSITIVE_INFINITY;

/** `expected`: it is alive, and whether it takes part is not known yet. */
export type RouteMemberState = "alive" | "expected" | "lost" | "gone";

export interface RouteReplicationEffects {
  send(to: string, item: Uint8Array): SendResult;
  /** `nodeOf` or the stores answer otherwise than before. */
  changed(): void;
  /** All that took part when it was sent have everything up to this ticket. */
  acknowledged(ticket: number): void;
  /** A member is no longer in `unsettled`. */
  settled(id: string): void;
}

/** Signatures of blocks. */
export interface RouteProof {
  sign(bytes: Uint8Array): Uint8Array;
  /** @returns false where it does not fit, or the node's key is not known */
  verify(id: string, life: number, bytes: Uint8Array, signature: Uint8Array): boolean;
  /** Nothing of a node is verified any more, until it comes again. */
  forget(id: string): void;
}

export interface RouteReplicationOptions {
  readonly self: { readonly id: string; readonly life: number };
  readonly stores: RouteStores;
  readonly random: () => number;
  readonly now: number;
  readonly effects: RouteReplicationEffects;
  readonly proof: RouteProof;
  /** ms for which the routes of a lost node are kept. */
  readonly grace?: number;
  /** ms for which a member that was just met is in `unsettled`, at most. */
  readonly settle?: number;
  readonly limits?: RouteLimits;
  /** ms between two digests. */
  readonly digestInterval?: number;
}

type Want = Extract<RouteMessage, { type: typeof RouteItem.WANT }>;

interface Member {
  readonly id: string;
  readonly replica: Replica;
  isAlive: boolean;
  lostAt: number;
  /** Its digests since a second began; and when one was sent to it. */
  digests: number;
  secondAt: number;
  digestAt: number;
  /** Whether a digest, and a list of versions, was sent to it that it has not answered. */
  hasDigest: boolean;
  hasVersions: boolean;
  /** When the blocks of the own routes that it got have had their time. */
  servedUntil: number;
}

export class RouteReplication {
  readonly #self: { readonly id: string; readonly life: number };
  readonly #effects: RouteReplicationEffects;
  readonly #proof: RouteProof;
  readonly #random: () => number;
  readonly #grace: number;
  readonly #settle: number;
  readonly #digestInterval: number;
  readonly #limits: RouteLimits;
  readonly #own: OwnRoutes;
  readonly #numbers: RouteNumbers;
  readonly #ring: RouteRing;
  readonly #members = new Map<string, Member>();
  /** Members that were just met, and until when their interest is waited for. */
  readonly #unsettled = new Map<string, number>();
  /** Whether somebody waits for those. */
  #asksUnsettled = false;
  /** Those that are lost, the longest lost first. */
  readonly #lost = new Set<string>();
  /** Changes on their way, and who has acknowledged the own ones. */
  readonly #waves: RouteWaves;
  /** What is fetched of others' routes. */
  readonly #pulls: RoutePulls;
  /** What they sent was refused. */
  readonly #strangers = new Set<string>();
  /** Peers that get a digest, and when. */
  readonly #due = new Map<string, number>();
  /** What peers ask of the own routes that got as many blocks as may be: the last question of each. */
  readonly #wants = new Map<string, Want>();
  /** Peers that handed on what was forged, and until when they are not believed about others. */
  readonly #distrusted = new Map<string, number>();
  #nextDigest: number;
  #flushAt = NEVER;
  #lastLook: number;

  constructor(options: RouteReplicationOptions) {
    const { self, stores, random, now, effects, proof, limits = ROUTE_LIMITS } = options;
    this.#self = self;
    this.#effects = effects;
    this.#proof = proof;
    this.#random = random;
    this.#grace = options.grace ?? ROUTE_GRACE;
    this.#settle = options.settle ?? ROUTE_SETTLE;
    this.#digestInterval = options.digestInterval ?? ROUTE_DIGEST_INTERVAL;
    this.#limits = limits;
    this.#own = new OwnRoutes(self.id, self.life, (bytes) => proof.sign(bytes));
    this.#numbers = new RouteNumbers(stores, limits);
    this.#ring = new RouteRing(self.id);
    this.#waves = new RouteWaves(self, this.#own, this.#ring, {
      send: (to, item) => effects.send(to, item),
      lifeOf: (id) => this.#lifeOf(id),
      acknowledged: (ticket) => effects.acknowledged(ticket),
      flood: () => this.#numbers.count("flood"),
      lookNow: (at) => this.#lookNow(at),
    });
    this.#pulls = new RoutePulls(limits, {
      send: (to, item) => effects.send(to, item),
      replicaOf: (id) => this.#members.get(id)?.replica,
      isDirect: () => this.#ring.isDirect,
      isDistrusted: (id) => this.#distrusted.has(id),
      verify: (at, from, block) => this.#verify(at, from, block),
      change: (replica, block) => this.#change(replica, block),
      advanced: (at, replica) => this.#waves.onAdvance(at, replica),
      settled: (id) => this.#settled(id),
      settleIfKnown: (replica) => this.#settleIfKnown(replica),
      changed: () => effects.changed(),
      lookNow: (at) => this.#lookNow(at),
      count: (reason) => this.#numbers.count(reason),
    });
    this.#nextDigest = now + this.#digestInterval * random();
    this.#lastLook = now;
  }

  // --- The own interest ----------------------------------------------------------------------------------------------

  /**
   * This node is interested in what fits a filter.
   *
   * @returns the ticket by which `acked` reports who knows it
   * @throws InvalidStateError `EFSM` where it has as many filters, or bytes of them, as the others take of one node
   */
  subscribe(now: number, filter: string): number {
    const { nodeRoutes, nodeBytes } = this.#limits;
    const isKnown = this.#own.has(filter);
    if (!isKnown && this.#own.size >= nodeRoutes)
      throw new InvalidStateError("EFSM", `a node subscribes to at most ${nodeRoutes} filters`);
    if (!isKnown && this.#own.bytes + Buffer.byteLength(filter) > nodeBytes)
      throw new InvalidStateError("EFSM", `the filters of a node have at most ${nodeBytes} bytes`);
    return this.#changeOwn(now, this.#own.add(filter));
  }

  unsubscribe(now: number, filter: string): number {
    return this.#changeOwn(now, this.#own.delete(filter));
  }

  /** This node has an id for the name of a topic or a subtopic. */
  register(now: number, name: string, id: number, chosen: boolean, isSubtopic: boolean): number {
    const kind = (chosen ? Operation.CHOSEN : 0) | (isSubtopic ? Operation.SUBTOPIC : 0);
    return this.#changeOwn(now, this.#own.name(name, id, kind));
  }

  unregister(now: number, name: string, id: number, isSubtopic: boolean): number {
    return this.#changeOwn(now, this.#own.unname(name, id, isSubtopic ? Operation.SUBTOPIC : 0));
  }

  #changeOwn(now: number, ticket: number): number {
    if (this.#own.hasPending) this.#flushAt = Math.min(this.#flushAt, now + ROUTE_FLUSH);
    else this.#flushAt = NEVER;
    this.#waves.onOwnChange(now, ticket);
    return ticket;
  }

  /** Whether all members that were there have everything up to a ticket. */
  acked(ticket: number): boolean {
    return this.#waves.acked(ticket);
  }

  /** Members that had not acknowledged the last change when it was asked for. */
  get missing(): number {
    return this.#waves.missing;
  }

  // --- Members -------------------------------------------------------------------------------------------------------

  /**
   * What membership says of another node that takes messages.
   *
   * @param life a number of its own for each life, as it announces it
   */
  onMember(now: number, id: string, life: number, state: RouteMemberState): void {
    if (id === this.#self.id) return;
    if (state === "alive" || state === "expected") this.#onMet(now, id, life);
    else this.#settled(id);
    if (state === "expected") this.#waves.expect(now, id);
    else this.#waves.endExpected(now, id);
    let member = this.#members.get(id);
    if (member !== undefined && (state === "gone" || member.replica.life !== life)) {
      this.#remove(now, member);
      member = undefined;
    }
    if (state === "gone") {
      this.#strangers.delete(id);
      return;
    }
    if (member === undefined) {
      // A node of which nothing is known and that is not there is nothing.
      if (state !== "alive") return;
      member = {
        id,
        replica: new Replica(id, life, this.#numbers),
        isAlive: false,
        lostAt: 0,
        digests: 0,
        secondAt: Number.NEGATIVE_INFINITY,
        digestAt: Number.NEGATIVE_INFINITY,
        hasDigest: false,
        hasVersions: false,
        servedUntil: Number.NEGATIVE_INFINITY,
      };
      this.#members.set(id, member);
    }
    if (state === "alive") this.#arrive(now, member);
    else this.#lose(now, member);
  }

  /**
   * Members that were just met, whose interest is not known here yet. One leaves when it is known, when the member is lost, and after
   * `settle` ms.
   */
  get unsettled(): ReadonlyMap<string, number> {
    return this.#unsettled;
  }

  /** Somebody waits for the interest of those that were just met. Of few the members themselves are asked; of many, digests bring it. */
  askUnsettled(now: number): void {
    if (this.#asksUnsettled || this.#unsettled.size === 0) return;
    this.#asksUnsettled = true;
    this.#askAllUnsettled(now);
    this.#lookNow(now);
  }

  #onMet(now: number, id: string, life: number): void {
    const replica = this.#members.get(id)?.replica;
    const isKnown = replica?.life === life && replica.isActive;
    if (this.#settle > 0 && !isKnown && !this.#unsettled.has(id)) this.#unsettled.set(id, now + this.#settle);
  }

  #settled(id: string): void {
    if (this.#unsettled.delete(id)) this.#effects.settled(id);
    if (this.#unsettled.size === 0) this.#asksUnsettled = false;
  }

  /** Its interest as of now is here, or follows with its next change. */
  #settleIfKnown(replica: Replica): void {
    const { version, pull, claim } = replica;
    if (version > 0 && pull === undefined && (claim?.version ?? 0) <= version) this.#settled(replica.id);
  }

  #askAllUnsettled(now: number): void {
    if (!this.#ring.isDirect) return;
    for (const id of this.#unsettled.keys()) {
      const member = this.#members.get(id);
      if (member?.isAlive !== true || now - member.replica.askedAt < ASK_UNSETTLED_PAUSE) continue;
      this.#pulls.askItself(now, member.replica);
    }
  }

  #lookNow(now: number): void {
    this.#lastLook = Math.min(this.#lastLook, now - LOOK);
  }

  #arrive(now: number, member: Member): void {
    if (member.isAlive) return;
    member.isAlive = true;
    this.#lost.delete(member.id);
    member.replica.isActive = true;
    this.#ring.add(member.id);
    // What it sent before was refused, or what it had may have changed: it has something to say, and does so when it is greeted.
    const hasMissed = this.#strangers.delete(member.id) || member.lostAt > 0;
    if (hasMissed || this.#mayTeach()) {
      // Of many, those greet a newcomer that send to it anyhow.
      if (this.#ring.hasFinger(member.id)) this.#greet(now, member.id);
      else if (this.#random() < GREETED / this.#members.size) this.#greet(now, member.id);
    }
    this.#effects.changed();
    // It is back: what is here of it served before.
    if (member.replica.version > 0) this.#settled(member.id);
    else if (this.#asksUnsettled) this.#askAllUnsettled(now);
  }

  /**
   * Whether a newcomer can learn something here: of few each node speaks for itself, of many for others as well. Who knows of no
   * route opens no link: forty nodes that start without a subscription would open 1,560.
   */
  #mayTeach(): boolean {
    return this.#own.version > 0 || (!this.#ring.isDirect && this.#knowsRoutes());
  }

  #knowsRoutes(): boolean {
    if (this.#own.version > 0) return true;
    for (const { replica } of this.#members.values()) if (replica.version > 0) return true;
    return false;
  }

  #greet(now: number, id: string): void {
    if (!this.#due.has(id)) this.#due.set(id, now + this.#random() * GREETING_SPREAD);
  }

  #lose(now: number, member: Member): void {
    if (!member.isAlive) return;
    member.isAlive = false;
    member.lostAt = now;
    member.replica.isActive = false;
    this.#leaveRing(now, member);
    this.#lost.delete(member.id);
    this.#lost.add(member.id);
    // The longest lost one goes where there are more than a cluster has members.
    const [first] = this.#lost;
    const oldest = this.#lost.size > MAX_MEMBERS ? this.#members.get(first as string) : undefined;
    if (oldest !== undefined) this.#remove(now, oldest);
    this.#effects.changed();
  }

  #remove(now: number, member: Member): void {
    this.#members.delete(member.id);
    this.#lost.delete(member.id);
    if (member.isAlive) this.#leaveRing(now, member);
    this.#pulls.forget(now, member.replica);
    this.#waves.forget(member.id);
    this.#proof.forget(member.id);
    member.replica.end();
    this.#effects.changed();
  }

  #leaveRing(now: number, { id }: Member): void {
    this.#ring.delete(id);
    this.#due.delete(id);
    this.#wants.delete(id);
    this.#distrusted.delete(id);
    this.#own.endSnapshot(id);
    this.#pulls.onLeave(now, id);
    this.#waves.onLeave(now, id);
  }

  /** The node's id that a number of the stores leads to; `undefined`: it is no target now. */
  nodeOf(number: number): string | undefined {
    return this.#numbers.ownerOf(number);
  }

  /** The life of another node that its routes are of. */
  lifeOf(id: string): number | undefined {
    return this.#members.get(id)?.replica.life;
  }

  /** The number of a node. */
  numberOf(id: string): number | undefined {
    return this.#members.get(id)?.replica.set.number;
  }

  /** The version that this node has of another's routes. */
  versionOf(id: string): number | undefined {
    return id === this.#self.id ? this.#own.version : this.#members.get(id)?.replica.version;
  }

  // --- Time ----------------------------------------------------------------------------------------------------------

  nextWakeUp(): number {
    const isBusy =
      this.#waves.isBusy ||
      this.#pulls.isBusy ||
      this.#due.size + this.#own.snapshots + this.#unsettled.size > 0;
    let next = Math.min(this.#flushAt, this.#nextDigest, this.#nextExpiry(), this.#pulls.nextAsk());
    for (const id of this.#wants.keys()) next = Math.min(next, (this.#members.get(id) as Member).servedUntil);
    if (isBusy) next = Math.min(next, this.#lastLook + LOOK);
    return next;
  }

  tick(now: number): void {
    if (now >= this.#flushAt) this.#flush(now);
    this.#pulls.askDue(now);
    for (const [id, want] of this.#wants) {
      const member = this.#members.get(id) as Member;
      if (now >= member.servedUntil) this.#serve(now, member, want);
    }
    if (now - this.#lastLook >= LOOK) this.#look(now);
    if (now >= this.#nextDigest) {
      this.#nextDigest = now + this.#digestInterval * (0.75 + 0.5 * this.#random());
      this.#digestWithAny(now);
      this.#expireTrust(now);
      this.#refill(now);
    }
    if (now >= this.#nextExpiry()) this.#expire(now);
  }

  /** A peer that was full takes items again, or a session with it began. */
  onRoom(now: number, to: string): void {
    if (this.#members.get(to)?.isAlive === true) this.#due.set(to, now);
    this.#lookNow(now);
  }

  #look(now: number): void {
    this.#lastLook = now;
    for (const [id, at] of this.#due) {
      const member = this.#members.get(id);
      if (member !== undefined && now - member.digestAt < DIGEST_PAUSE) continue;
      if (now < at) continue;
      this.#due.delete(id);
      if (member !== undefined) this.#sendDigest(now, member);
    }
    this.#pulls.look(now);
    this.#own.endIdle(now, SNAPSHOT_IDLE);
    for (const [id, until] of this.#unsettled) if (now >= until) this.#settled(id);
    if (this.#asksUnsettled) this.#askAllUnsettled(now);
    this.#waves.look(now);
  }

  /** When the routes of the longest lost node go. */
  #nextExpiry(): number {
    for (const id of this.#lost) return (this.#members.get(id) as Member).lostAt + this.#grace;
    return NEVER;
  }

  #expire(now: number): void {
    for (const id of [...this.#lost]) {
      const member = this.#members.get(id) as Member;
      if (now < member.lostAt + this.#grace) break;
      this.#remove(now, member);
    }
  }

  #expireTrust(now: number): void {
    for (const [id, until] of this.#distrusted) if (now >= until) this.#distrusted.delete(id);
    this.#pulls.expire(now);
  }

  /** What was left out of others' routes since there were too many is fetched again, once there is room. */
  #refill(now: number): void {
    for (const { isAlive, replica } of this.#members.values()) {
      if (this.#pulls.size >= MAX_ROUTE_PULLS) return;
      if (!isAlive || !replica.mayRefill(now)) continue;
      replica.refill(now);
      this.#pulls.want(now, replica, replica.id, replica.exactFrom);
    }
  }

  /** Makes versions of what is pending, and sends them. */
  #flush(now: number): void {
    const blocks: Buffer[] = [];
    while (blocks.length < BLOCKS_A_FLUSH) {
      const block = this.#own.cut();
      if (block === undefined) break;
      blocks.push(block);
    }
    this.#flushAt = this.#own.hasPending ? now + ROUTE_FLUSH : NEVER;
    if (blocks.length === 0) return;
    if (blocks.length > PUSHED_BLOCKS || this.#own.hasPending)
      this.#waves.push(now, this.#own.version, undefined);
    else
      for (const [i, block] of blocks.entries())
        this.#waves.push(now, this.#own.version - blocks.length + 1 + i, block);
  }

  // --- What comes ----------------------------------------------------------------------------------------------------

  /** @param item not changed afterwards @returns why it was refused; `undefined`: it was taken, or is out of date */
  onItem(now: number, from: string, item: Buffer): string | undefined {
    const reason = this.#receive(now, from, item);
    if (reason !== undefined) this.#numbers.count(reason);
    return reason;
  }

  #receive(now: number, from: string, item: Buffer): string | undefined {
    const sender = this.#members.get(from);
    if (sender?.isAlive !== true) {
      this.#strangers.add(from);
      const [oldest] = this.#strangers;
      if (this.#strangers.size > MAX_STRANGERS) this.#strangers.delete(oldest as string);
      return "stranger";
    }
    const message = decodeRouteItem(item);
    if (message === undefined) return "malformed";
    switch (message.type) {
      case RouteItem.DIGEST:
        return this.#onDigest(now, sender, message);
      case RouteItem.VERSIONS:
        return this.#onVersions(now, sender, message);
      case RouteItem.WANT:
        return this.#onWant(now, sender, message);
      case RouteItem.BLOCK:
        return this.#pulls.onBlock(now, from, message);
      case RouteItem.PUSH:
        return this.#onPush(now, from, message);
      case RouteItem.NONE:
        return this.#pulls.onNone(now, from, message);
      case RouteItem.ACK:
        return this.#waves.onAck(now, from, message);
    }
  }

  #lifeOf(id: string): number | undefined {
    return id === this.#self.id ? this.#self.life : this.#members.get(id)?.replica.life;
  }

  /** Whether what a peer says of another one counts. */
  #isBelieved(from: string, about: string): boolean {
    return from === about || !this.#distrusted.has(from);
  }

  #onPush(
    now: number,
    from: string,
    { id, life, version, ack, until, block }: Extract<RouteMessage, { type: typeof RouteItem.PUSH }>,
  ): string | undefined {
    if (id === this.#self.id) return "own";
    const member = this.#members.get(id);
    if (member === undefined) return "unknown";
    const { replica } = member;
    if (replica.life !== life) return "life";
    if (!this.#isBelieved(from, id)) return "distrusted";
    if (block !== undefined && version === replica.version + 1 && replica.pull?.set === undefined) {
      if (from !== id && replica.exactFrom > replica.version) block = undefined;
      else {
        const reason = this.#verify(now, from, block);
        if (reason !== undefined) return reason;
        this.#change(replica, block);
        this.#settleIfKnown(replica);
      }
    }
    this.#waves.onPush(now, from, { id, version }, ack, until);
    if (replica.version >= version) this.#waves.onAdvance(now, replica);
    else this.#pulls.want(now, replica, from, version);
    return undefined;
  }

  /** What is not of the peer itself has to be signed. */
  #verify(now: number, from: string, block: Block): string | undefined {
    if (from === block.id) return undefined;
    const { bytes, signature } = signedPart(block.bytes);
    if (signature.length === SIGNATURE_BYTES && this.#proof.verify(block.id, block.life, bytes, signature))
      return undefined;
    this.#distrusted.set(from, now + ROUTE_DISTRUST);
    return "signature";
  }

  #change(replica: Replica, block: Block): void {
    // Only beyond so many nodes others are asked for it.
    replica.change(block, !this.#ring.isDirect);
    this.#effects.changed();
  }

  // --- Repair --------------------------------------------------------------------------------------------------------

  #digestWithAny(now: number): void {
    const { fingers } = this.#ring;
    if (fingers === 0 || !this.#knowsRoutes()) return;
    const id = this.#ring.finger(Math.floor(this.#random() * fingers) % fingers);
    const member = this.#members.get(id);
    if (member !== undefined) this.#sendDigest(now, member);
  }

  #sendDigest(now: number, member: Member): void {
    member.digestAt = now;
    const salt = Math.floor(this.#random() * 2 ** 32);
    if (this.#effects.send(member.id, encodeDigest(salt, this.#bucketsFor(salt))) === "sent")
      member.hasDigest = true;
  }

  #bucketsFor(salt: number): Uint32Array {
    const buckets = new Uint32Array(ROUTE_BUCKETS);
    const add = (id: string, life: number, version: number): void => {
      if (version === 0) return;
      const bucket = bucketOf(id);
      buckets[bucket] = (buckets[bucket] as number) ^ hashOf(salt, id, life, version);
    };
    add(this.#self.id, this.#self.life, this.#own.version);
    for (const { id, replica, isAlive } of this.#members.values())
      if (isAlive) add(id, replica.life, replica.version);
    return buckets;
  }

  #onDigest(
    now: number,
    sender: Member,
    { salt, buckets }: Extract<RouteMessage, { type: typeof RouteItem.DIGEST }>,
  ): string | undefined {
    if (now - sender.secondAt >= 1_000) {
      sender.secondAt = now;
      sender.digests = 0;
    }
    sender.digests += 1;
    if (sender.digests > ROUTE_DIGESTS) return "flood";
    const mine = this.#bucketsFor(salt);
    let mask = 0;
    for (let i = 0; i < ROUTE_BUCKETS; i++) if (mine[i] !== buckets[i]) mask |= 1 << i;
    // It has what is here of it: nothing, where it was just met.
    if (((mask >>> bucketOf(sender.id)) & 1) === 0) this.#settled(sender.id);
    if (mask === 0) return undefined;
    sender.hasVersions = true;
    const list = this.#versions(mask, undefined);
    this.#effects.send(sender.id, encodeVersions(true, list.mask, list.entries));
    return undefined;
  }

  /**
   * Of the live nodes in these buckets, or in those of them that one item has room for.
   *
   * @param theirs only what is newer than this
   */
  #versions(
    mask: number,
    theirs: ReadonlyMap<string, RouteVersion> | undefined,
  ): { readonly mask: number; readonly entries: readonly RouteVersion[] } {
    const found: RouteVersion[] = [];
    const add = (id: string, life: number, version: number): void => {
      if (version === 0 || ((mask >>> bucketOf(id)) & 1) === 0) return;
      const their = theirs?.get(id);
      if (their !== undefined && (their.life !== life || their.version >= version)) return;
      found.push({ id, life, version });
    };
    add(this.#self.id, this.#self.life, this.#own.version);
    for (const { id, replica, isAlive } of this.#members.values())
      if (isAlive) add(id, replica.life, replica.version);
    if (found.length <= ROUTE_LISTED) return { mask, entries: found };
    const fitting = bucketsThatFit(mask, found, Math.floor(this.#random() * ROUTE_BUCKETS));
    return { mask: fitting, entries: found.filter(({ id }) => ((fitting >>> bucketOf(id)) & 1) === 1) };
  }

  #onVersions(
    now: number,
    sender: Member,
    { answer, mask, entries }: Extract<RouteMessage, { type: typeof RouteItem.VERSIONS }>,
  ): string | undefined {
    // Each answers what was sent, once.
    if (!(answer ? sender.hasDigest : sender.hasVersions)) return "unasked";
    if (answer) sender.hasDigest = false;
    else sender.hasVersions = false;
    const theirs = new Map<string, RouteVersion>();
    let reason: string | undefined;
    for (const entry of entries) {
      const { id, life, version } = entry;
      theirs.set(id, entry);
      if (id === this.#self.id) {
        if (life === this.#self.life && version > this.#own.version) reason = "own";
        continue;
      }
      const replica = this.#members.get(id)?.replica;
      if (replica?.life !== life || version <= replica.version) continue;
      if (this.#isBelieved(sender.id, id)) this.#pulls.want(now, replica, sender.id, version);
      else reason ??= "distrusted";
    }
    // It listed all that it has in these buckets, or all that is newer.
    if (
      ((mask >>> bucketOf(sender.id)) & 1) !== 0 &&
      (theirs.get(sender.id)?.version ?? 0) <= sender.replica.version
    )
      this.#settled(sender.id);
    if (answer) {
      const newer = this.#versions(mask, theirs);
      if (newer.entries.length > 0)
        this.#effects.send(sender.id, encodeVersions(false, newer.mask, newer.entries));
    }
    return reason;
  }

  // --- Serving -----------------------------------------------------------------------------------------------------

  #onWant(now: number, sender: Member, want: Want): string | undefined {
    const { id, life, version, part, most } = want;
    if (this.#lifeOf(id) !== life) {
      this.#effects.send(sender.id, encodeNone(id, life));
      return "life";
    }
    if (id !== this.#self.id) {
      this.#answer(sender.id, want, this.#members.get(id)?.replica.blocksFor(version, part, most));
      return undefined;
    }
    // A reader has one question about them at a time: what it asks now is what it lacks.
    if (now < sender.servedUntil) this.#wants.set(sender.id, want);
    else this.#serve(now, sender, want);
    return undefined;
  }

  /** What a peer gets of the own routes: these blocks may have to be made and signed, for each who asks. */
  #serve(now: number, peer: Member, want: Want): void {
    this.#wants.delete(peer.id);
    // The answer is what the interest is now.
    if (this.#own.hasPending) this.#flush(now);
    const found = this.#own.blocksFor(now, peer.id, want.version, want.part, want.most);
    const from = Math.max(peer.servedUntil, now - ROUTE_SERVED_CREDIT / ROUTE_SERVED);
    peer.servedUntil = from + Math.max(1, found?.blocks.length ?? 0) / ROUTE_SERVED;
    this.#answer(peer.id, want, found);
  }

  #answer(
    to: string,
    { id, life }: Want,
    found: { readonly blocks: readonly Buffer[]; readonly isAll: boolean } | undefined,
  ): void {
    // Another one has to be asked, or it asked for what it has: that ends its fetch.
    if (found === undefined || found.blocks.length === 0) {
      this.#effects.send(to, encodeNone(id, life));
      return;
    }
    const { blocks, isAll } = found;
    for (const [i, block] of blocks.entries()) {
      const isLast = i === blocks.length - 1;
      if (this.#effects.send(to, encodeBlockItem(isLast && !isAll, isLast && isAll, block)) !== "sent")
        return;
    }
  }

  /** Of this node, of the others, and of what is on its way. */
  stats(): MessageRoutesStats {
    const { size: filters, bytes: ownBytes, names, version, logBytes, snapshots } = this.#own;
    const { routes, bytes, historyBytes, refused } = this.#numbers;
    return {
      own: { filters, bytes: ownBytes, names, version, logBytes },
      routes,
      bytes,
      nodes: this.#members.size,
      historyBytes,
      pulls: this.#pulls.size,
      snapshots,
      missing: this.#waves.missing,
      refused: { ...refused },
    };
  }
}

function bucketOf(id: string): number {
  return Number.parseInt(id.charAt(0), 16) & (ROUTE_BUCKETS - 1);
}

/** Those of these buckets that one list has room for. @param first where it begins: another one each time, so that none is always left out */
function bucketsThatFit(mask: number, entries: readonly RouteVersion[], first: number): number {
  const counts = new Uint32Array(ROUTE_BUCKETS);
  for (const { id } of entries) {
    const bucket = bucketOf(id);
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  let left = ROUTE_LISTED;
  let fitting = 0;
  for (let i = 0; i < ROUTE_BUCKETS; i++) {
    const bucket = (first + i) % ROUTE_BUCKETS;
    const count = counts[bucket] as number;
    if (((mask >>> bucket) & 1) === 0 || count > left) continue;
    left -= count;
    fitting |= 1 << bucket;
  }
  return fitting;
}

/** Salted, so that two pictures that differ and have one hash differ in the next digest. */
function hashOf(salt: number, id: string, life: number, version: number): number {
  let hash = mix(salt | 0, Number.parseInt(id.slice(0, 8), 16));
  hash = mix(hash, Number.parseInt(id.slice(8, 16), 16));
  hash = mix(hash, life | 0);
  hash = mix(hash, Math.floor(life / 2 ** 32));
  hash = mix(hash, version | 0);
  return mix(hash, Math.floor(version / 2 ** 32)) >>> 0;
}

function mix(hash: number, value: number): number {
  let mixed = Math.imul(hash ^ value, 0x85eb_ca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}
