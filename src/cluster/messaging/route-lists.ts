/**
 * How nodes learn each other's subscriptions (docs/internals/messaging.md, docs/spec/messaging.md). Pure.
 *
 *   owner                                    reader
 *     PART 0, 1 … last ───────────────────────>    a snapshot; some parts may be in flight
 *     DELTA from a version ───────────────────>    changes, in order
 *     <──────────────────────────────── HAVE       version, parts read: acknowledges each of the above
 *     STATE question, version, filters ───────>    after a cut, without progress, and periodically
 *     <─────────────────────── HAVE question       the owner continues from here
 *     <───────────────────────────────── ASK       requests STATE
 *
 * After a possible loss the owner sends only STATE until the answer names the position to continue from. Few parts of a
 * few KiB are unacknowledged, and their rate is limited: a list of a million filters must not block messages on the
 * link or in the event loop. An owner without subscriptions sends nothing, so no link is opened for it.
 *
 * The routes of a lost node are kept for the grace period but not used.
 */
import { InvalidStateError } from "../../core/errors.js";
import { MAX_MEMBERS } from "../bounds.js";
import {
  ROUTE_ASK_PAUSE,
  ROUTE_BURST,
  ROUTE_DIGEST_INTERVAL,
  ROUTE_EXPECTED,
  ROUTE_FLUSH,
  ROUTE_GRACE,
  ROUTE_PACE,
  ROUTE_RETRY,
  ROUTE_RETRY_MAX,
  ROUTE_SETTLE,
  ROUTE_WINDOW,
} from "./bounds.js";
import type { MessageRoutesStats, SendResult } from "./parts.js";
import { ROUTE_LIMITS, RouteCopy, type RouteLimits, RouteNumbers, type RouteStore } from "./route-copies.js";
import { OwnRoutes, type RouteSnapshot } from "./route-own.js";
import {
  ASK,
  decodeRouteItem,
  encodeHave,
  encodeState,
  type RouteDelta,
  type RouteHave,
  RouteItem,
  type RoutePart,
  type RouteState,
} from "./route-wire.js";

/** To keep turns short. */
const DELTAS_A_FLUSH = 8;
const LOOK = 50;
const NEVER = Number.POSITIVE_INFINITY;

/** `expected`: alive, but not yet known to take messages. */
export type RouteMemberState = "alive" | "expected" | "lost" | "gone";

export interface RouteListsEffects {
  send(to: string, item: Uint8Array): SendResult;
  /** The result of `nodeOf`, or the store, changed. */
  changed(): void;
  /** The result of `acked` may have changed. */
  progressed(): void;
  /** A member left `unsettled`. */
  settled(id: string): void;
}

export interface RouteListsOptions {
  readonly self: { readonly id: string; readonly life: number };
  readonly store: RouteStore;
  readonly random: () => number;
  readonly now: number;
  readonly effects: RouteListsEffects;
  readonly grace?: number;
  /** Maximum for a new member in `unsettled`. */
  readonly settle?: number;
  readonly limits?: RouteLimits;
  readonly digestInterval?: number;
}

/** Another node: the copy of its list, and its progress with this node's. */
class Member {
  readonly id: string;
  readonly copy: RouteCopy;
  life: number;
  isAlive = false;
  lostAt = 0;
  /** This node's version when the member was met. Earlier versions do not wait for the member. */
  since = 0;
  /** Acknowledged version, and the version after everything in flight. */
  have = 0;
  sent = 0;
  /** Versions of the deltas in flight. */
  readonly deltas: number[] = [];
  snapshot: RouteSnapshot | undefined = undefined;
  /** The link had no room for the last item. */
  isFull = false;
  /** The last STATE, and the first one after the last other item; 0: none is unanswered. */
  question = 0;
  asking = 0;
  statedAt = Number.NEGATIVE_INFINITY;
  /** Of the next STATE without progress. */
  retryAt = NEVER;
  retry = ROUTE_RETRY;
  askedAt = Number.NEGATIVE_INFINITY;

  constructor(copy: RouteCopy) {
    this.id = copy.id;
    this.life = copy.life;
    this.copy = copy;
  }

  get isBusy(): boolean {
    const { snapshot } = this;
    return (
      this.asking > 0 || this.deltas.length > 0 || (snapshot !== undefined && snapshot.sent > snapshot.read)
    );
  }
}

export class RouteLists {
  readonly #self: { readonly id: string; readonly life: number };
  readonly #effects: RouteListsEffects;
  readonly #random: () => number;
  readonly #grace: number;
  readonly #settle: number;
  readonly #digestInterval: number;
  readonly #limits: RouteLimits;
  readonly #own: OwnRoutes;
  readonly #numbers: RouteNumbers;
  readonly #members = new Map<string, Member>();
  /** Live nodes not yet known to take messages: this node's version at that time, and the deadline for waiting. */
  readonly #expected = new Map<string, { readonly since: number; readonly until: number }>();
  /** Deadlines for their interest. */
  readonly #unsettled = new Map<string, number>();
  /** Whether a message waits for an unsettled member. */
  #asksUnsettled = false;
  /** Longest lost first. */
  readonly #lost = new Set<string>();
  /**
   * Nodes whose list was deleted here, oldest first. Each is asked for its list when met again, since it may not have
   * noticed the loss.
   */
  readonly #forgotten = new Set<string>();
  readonly #busy = new Set<Member>();
  /** Members waiting for a part under the rate limit, longest wait first. */
  readonly #hungry = new Set<Member>();
  /** Parts allowed now, and the time of that count. */
  #credit = ROUTE_BURST;
  #creditAt: number;
  #digests = 0;
  #nextDigest: number;
  #flushAt = NEVER;
  #lastLook: number;

  constructor(options: RouteListsOptions) {
    const { self, store, random, now, effects, limits = ROUTE_LIMITS } = options;
    this.#self = self;
    this.#effects = effects;
    this.#random = random;
    this.#grace = options.grace ?? ROUTE_GRACE;
    this.#settle = options.settle ?? ROUTE_SETTLE;
    this.#digestInterval = options.digestInterval ?? ROUTE_DIGEST_INTERVAL;
    this.#limits = limits;
    this.#own = new OwnRoutes(self.life);
    this.#numbers = new RouteNumbers(store, limits);
    this.#creditAt = now;
    this.#nextDigest = now + this.#digestInterval * random();
    this.#lastLook = now;
  }

  // --- The own list --------------------------------------------------------------------------------------------------

  /**
   * @returns the version to check with `acked`
   * @throws InvalidStateError `EFSM` at the limit of filters, or of their bytes, per node
   */
  subscribe(now: number, filter: string): number {
    const { nodeRoutes, nodeBytes } = this.#limits;
    const isKnown = this.#own.has(filter);
    if (!isKnown && this.#own.size >= nodeRoutes)
      throw new InvalidStateError("EFSM", `a node subscribes to at most ${nodeRoutes} filters`);
    if (!isKnown && this.#own.bytes + Buffer.byteLength(filter) > nodeBytes)
      throw new InvalidStateError("EFSM", `the filters of a node have at most ${nodeBytes} bytes`);
    this.#own.add(filter);
    return this.#changed(now);
  }

  unsubscribe(now: number, filter: string): number {
    this.#own.delete(filter);
    return this.#changed(now);
  }

  #changed(now: number): number {
    if (this.#own.hasPending) this.#flushAt = Math.min(this.#flushAt, now + ROUTE_FLUSH);
    return this.#own.version;
  }

  #flush(now: number): void {
    this.#own.makeDeltas(DELTAS_A_FLUSH);
    this.#flushAt = this.#own.hasPending ? now + ROUTE_FLUSH : NEVER;
    for (const member of this.#members.values()) this.#feed(now, member);
  }

  /** Whether every member that was present at a version has acknowledged it. */
  acked(version: number): boolean {
    for (const { since } of this.#expected.values()) if (since < version) return false;
    for (const member of this.#members.values()) if (lacks(member, version)) return false;
    return true;
  }

  missing(version: number): number {
    let missing = 0;
    for (const { since } of this.#expected.values()) if (since < version) missing += 1;
    for (const member of this.#members.values()) if (lacks(member, version)) missing += 1;
    return missing;
  }

  // --- Members -------------------------------------------------------------------------------------------------------

  /** @param life of a live node, as it announces it */
  onMember(now: number, id: string, state: RouteMemberState, life = 0): void {
    if (id === this.#self.id) return;
    const member = this.#members.get(id);
    if (state === "alive" || state === "expected")
      this.#meet(now, id, state === "alive" ? life : member?.life);
    else this.#settled(id);
    const expected = this.#expected.get(id);
    const since = expected?.since ?? this.#own.version;
    if (state !== "expected") this.#expected.delete(id);
    else if (expected === undefined) this.#expected.set(id, { since, until: now + ROUTE_EXPECTED });
    if (state === "alive") this.#arrive(now, member ?? this.#add(id, life), life, since);
    else if (member !== undefined && state === "gone") this.#remove(member);
    else if (member !== undefined) this.#lose(now, member);
    this.#effects.progressed();
  }

  #meet(now: number, id: string, life: number | undefined): void {
    const member = this.#members.get(id);
    const isKnown = member?.isAlive === true && member.life === life;
    if (this.#settle > 0 && !isKnown && !this.#unsettled.has(id)) this.#unsettled.set(id, now + this.#settle);
  }

  #add(id: string, life: number): Member {
    const member = new Member(new RouteCopy(id, life, this.#numbers));
    this.#members.set(id, member);
    if (this.#forgotten.delete(id)) this.#send(id, ASK);
    return member;
  }

  #arrive(now: number, member: Member, life: number, since: number): void {
    const isNew = member.life !== life;
    if (isNew) {
      member.life = life;
      this.#detach(member);
      member.have = 0;
      member.sent = 0;
      // Its first items may arrive before the membership event.
      if (member.copy.life !== life) member.copy.reset(life);
      this.#effects.changed();
    }
    if (!member.isAlive) {
      member.isAlive = true;
      member.since = since;
      member.copy.isActive = true;
      this.#effects.changed();
      // Items in flight when it was lost may not have arrived.
      if (this.#lost.delete(member.id) && member.sent > 0) this.#state(now, member);
    } else if (!isNew) return;
    this.#feed(now, member);
    // A returned member's routes are already known.
    if (member.copy.version > 0) this.#settled(member.id);
    else if (this.#asksUnsettled) this.#askAllUnsettled(now);
  }

  #lose(now: number, member: Member): void {
    if (!member.isAlive) return;
    member.isAlive = false;
    member.lostAt = now;
    member.copy.isActive = false;
    this.#detach(member);
    this.#lost.add(member.id);
    // Above the limit of a cluster the longest lost member is removed.
    const [first] = this.#lost;
    const oldest = this.#lost.size > MAX_MEMBERS ? this.#members.get(first as string) : undefined;
    if (oldest !== undefined) this.#remove(oldest);
    this.#effects.changed();
  }

  #remove(member: Member): void {
    this.#members.delete(member.id);
    this.#lost.delete(member.id);
    this.#detach(member);
    if (member.copy.version > 0) this.#forgotten.add(member.id);
    for (const oldest of this.#forgotten) {
      if (this.#forgotten.size <= MAX_MEMBERS) break;
      this.#forgotten.delete(oldest);
    }
    member.copy.end();
    this.#effects.changed();
  }

  /** Items in flight are given up. */
  #detach(member: Member): void {
    this.#own.endSnapshot(member.snapshot);
    member.snapshot = undefined;
    member.deltas.length = 0;
    member.asking = 0;
    member.isFull = false;
    member.retry = ROUTE_RETRY;
    member.retryAt = NEVER;
    this.#busy.delete(member);
    this.#hungry.delete(member);
  }

  /** New members with unknown interest, until their interest arrives, they are lost, or after `settle` ms. */
  get unsettled(): ReadonlyMap<string, number> {
    return this.#unsettled;
  }

  /** Repeatedly, since a member may not know this node yet. */
  askUnsettled(now: number): void {
    if (this.#asksUnsettled || this.#unsettled.size === 0) return;
    this.#asksUnsettled = true;
    this.#askAllUnsettled(now);
  }

  #askAllUnsettled(now: number): void {
    for (const id of this.#unsettled.keys()) {
      const member = this.#members.get(id);
      if (member?.isAlive !== true || now - member.askedAt < 2 * ROUTE_ASK_PAUSE) continue;
      member.askedAt = now;
      this.#send(member.id, ASK);
    }
  }

  #settled(id: string): void {
    if (this.#unsettled.delete(id)) this.#effects.settled(id);
    if (this.#unsettled.size === 0) this.#asksUnsettled = false;
  }

  nodeOf(number: number): string | undefined {
    return this.#numbers.ownerOf(number);
  }

  numberOf(id: string): number | undefined {
    return this.#members.get(id)?.copy.number;
  }

  versionOf(id: string): number | undefined {
    return id === this.#self.id ? this.#own.version : this.#members.get(id)?.copy.version;
  }

  // --- Time ----------------------------------------------------------------------------------------------------------

  nextWakeUp(): number {
    const waiting = this.#busy.size + this.#unsettled.size + this.#expected.size;
    const look = waiting > 0 ? this.#lastLook + LOOK : NEVER;
    const made = this.#hungry.size > 0 ? this.#creditAt + (1 - this.#credit) / ROUTE_PACE : NEVER;
    return Math.min(this.#flushAt, this.#nextDigest, this.#nextExpiry(), look, made);
  }

  tick(now: number): void {
    if (now >= this.#flushAt) this.#flush(now);
    // A member that wants more parts goes to the end.
    for (const member of this.#hungry) {
      if (!this.#hasCredit(now)) break;
      this.#hungry.delete(member);
      this.#feed(now, member, true);
    }
    if (now - this.#lastLook >= LOOK) this.#look(now);
    if (now >= this.#nextDigest) {
      this.#nextDigest = now + this.#digestInterval * (0.75 + 0.5 * this.#random());
      this.#sendDigest(now);
      for (const { id, copy } of this.#members.values()) if (copy.mayRefill(now)) this.#send(id, ASK);
    }
    if (now >= this.#nextExpiry()) this.#expire(now);
  }

  onRoom(now: number, id: string): void {
    const member = this.#members.get(id);
    if (member?.isAlive !== true) return;
    const isIdle = member.asking === 0 && !member.isFull && !member.isBusy;
    if (isIdle ? member.sent > 0 : member.isFull && member.asking > 0) this.#state(now, member);
    else this.#feed(now, member);
  }

  #look(now: number): void {
    this.#lastLook = now;
    for (const member of this.#busy) if (now >= member.retryAt) this.#state(now, member);
    for (const [id, until] of this.#unsettled) if (now >= until) this.#settled(id);
    if (this.#asksUnsettled) this.#askAllUnsettled(now);
    for (const [id, { until }] of this.#expected)
      if (now >= until) {
        this.#expected.delete(id);
        this.#effects.progressed();
      }
  }

  /** To one member per call, in turn. */
  #sendDigest(now: number): void {
    if (this.#own.cut === 0 || this.#members.size === 0) return;
    this.#digests = (this.#digests + 1) % this.#members.size;
    let at = 0;
    for (const member of this.#members.values())
      if (at++ === this.#digests && member.isAlive && !member.isBusy) this.#state(now, member);
  }

  #nextExpiry(): number {
    for (const id of this.#lost) return (this.#members.get(id) as Member).lostAt + this.#grace;
    return NEVER;
  }

  #expire(now: number): void {
    for (const id of [...this.#lost]) {
      const member = this.#members.get(id) as Member;
      if (now < member.lostAt + this.#grace) break;
      this.#remove(member);
    }
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  #send(to: string, item: Uint8Array): boolean {
    return this.#effects.send(to, item) === "sent";
  }

  #give(member: Member, item: Uint8Array): boolean {
    member.isFull = !this.#send(member.id, item);
    return !member.isFull;
  }

  /** Sends STATE and blocks other items until the answer: by then, earlier items have arrived or are lost. */
  #state(now: number, member: Member): void {
    member.question += 1;
    if (member.asking === 0) member.asking = member.question;
    member.statedAt = now;
    this.#awaitAnswer(now, member);
    member.retry = Math.min(2 * member.retry, ROUTE_RETRY_MAX);
    const { cut: version, cutSize: filters } = this.#own;
    const { question } = member;
    this.#give(member, encodeState({ life: this.#self.life, question, version, filters }));
  }

  #awaitAnswer(now: number, member: Member): void {
    member.retryAt = now + member.retry;
    if (this.#busy.size === 0) this.#lastLook = now;
    this.#busy.add(member);
  }

  /** Up to the room of the link. @param isNext whether its turn for parts has come */
  #feed(now: number, member: Member, isNext = this.#hungry.size === 0): void {
    if (!member.isAlive || member.asking > 0) return;
    let isSent = true;
    while (isSent) {
      const { snapshot } = member;
      if (snapshot?.isSent === false) {
        if (snapshot.sent - snapshot.read >= ROUTE_WINDOW) return;
        if (snapshot.part === undefined && !(isNext && this.#hasCredit(now))) {
          this.#hungry.add(member);
          return;
        }
        isSent = this.#sendPart(now, member, snapshot);
      } else if (member.sent >= this.#own.cut || member.deltas.length >= ROUTE_WINDOW) return;
      else isSent = this.#sendDelta(now, member);
    }
  }

  #hasCredit(now: number): boolean {
    this.#credit = Math.min(ROUTE_BURST, this.#credit + Math.max(0, now - this.#creditAt) * ROUTE_PACE);
    this.#creditAt = now;
    return this.#credit >= 1;
  }

  #sendPart(now: number, member: Member, snapshot: RouteSnapshot): boolean {
    if (snapshot.part === undefined) {
      this.#credit -= 1;
      snapshot.part = this.#own.makePart(snapshot);
    }
    this.#awaitAnswer(now, member);
    if (!this.#give(member, snapshot.part)) return false;
    snapshot.part = undefined;
    snapshot.sent += 1;
    snapshot.isSent = snapshot.isRead;
    return true;
  }

  #sendDelta(now: number, member: Member): boolean {
    // A reader with nothing gets a snapshot: its size is the list's, not the log's.
    const delta = member.sent === 0 ? undefined : this.#own.deltaAfter(member.sent);
    if (delta === undefined) {
      this.#own.endSnapshot(member.snapshot);
      member.snapshot = this.#own.beginSnapshot();
      member.sent = member.snapshot.base;
      return true;
    }
    this.#awaitAnswer(now, member);
    if (!this.#give(member, delta.item)) return false;
    member.sent = delta.to;
    member.deltas.push(delta.to);
    return true;
  }

  // --- What comes ----------------------------------------------------------------------------------------------------

  /**
   * @param item not changed afterwards
   * @returns the reason for refusal; `undefined`: accepted or outdated
   */
  onItem(now: number, from: string, item: Buffer): string | undefined {
    const reason = this.#receive(now, from, item);
    if (reason !== undefined) this.#numbers.count(reason);
    return reason;
  }

  #receive(now: number, from: string, item: Buffer): string | undefined {
    const member = this.#members.get(from);
    if (member === undefined) return "stranger";
    const message = decodeRouteItem(item);
    switch (message?.type) {
      case RouteItem.STATE:
        return this.#onState(now, member, message);
      case RouteItem.HAVE:
        return this.#onHave(now, member, message);
      case RouteItem.DELTA:
      case RouteItem.PART:
        return this.#onChanges(member, message);
      case RouteItem.ASK:
        if (member.isAlive && now - member.statedAt >= ROUTE_ASK_PAUSE) this.#state(now, member);
        return undefined;
      default:
        return "malformed";
    }
  }

  /** The sender's life as its link reports it: a restart may be seen here before the membership event. */
  #copyOf({ copy }: Member, life: number): RouteCopy {
    if (copy.life !== life) {
      copy.reset(life);
      this.#effects.changed();
    }
    return copy;
  }

  #onState(now: number, member: Member, { life, question, version, filters }: RouteState): undefined {
    const copy = this.#copyOf(member, life);
    copy.claimed = version;
    const isWrong = version < copy.version || (version === copy.version && copy.differs(filters));
    if (isWrong) this.#numbers.count("differs");
    // Everything is sent again; the present copy serves until then.
    const isNone = isWrong || (version === copy.version && copy.mayRefill(now));
    if (isNone) copy.refill(now);
    this.#answer(copy, question, isNone ? 0 : copy.version);
    if (copy.isSettled) this.#settled(copy.id);
    return undefined;
  }

  #onChanges(member: Member, message: RouteDelta | RoutePart): string | undefined {
    const copy = this.#copyOf(member, message.life);
    const reason = message.type === RouteItem.DELTA ? copy.change(message) : copy.read(message);
    if (reason !== undefined) return reason;
    this.#effects.changed();
    this.#answer(copy, 0, copy.version);
    if (copy.version > 0 && copy.isSettled) this.#settled(copy.id);
    return undefined;
  }

  #answer({ id, life, reading }: RouteCopy, question: number, version: number): void {
    const [snapshot, part] = [reading?.number ?? 0, reading?.next ?? 0];
    this.#send(id, encodeHave({ life, question, version, snapshot, part }));
  }

  #onHave(now: number, member: Member, have: RouteHave): string | undefined {
    const { life, question, version } = have;
    // Late, from an earlier life.
    if (life !== this.#self.life) return undefined;
    if (version > this.#own.cut || question > member.question) return "own";
    if (!member.isAlive) return undefined;
    if (question > 0) {
      if (member.asking === 0 || question < member.asking) return undefined;
      this.#resume(member, have);
    } else this.#acknowledge(member, have);
    member.retry = ROUTE_RETRY;
    if (member.isBusy) this.#awaitAnswer(now, member);
    else this.#busy.delete(member);
    this.#feed(now, member);
    this.#effects.progressed();
    return undefined;
  }

  /** Everything sent has arrived or is lost, so the reader's answer is its position. */
  #resume(member: Member, { version, snapshot: number, part }: RouteHave): void {
    const { snapshot } = member;
    member.asking = 0;
    member.deltas.length = 0;
    member.have = version;
    if (snapshot?.isSent === false && snapshot.number === number && snapshot.sent === part) {
      snapshot.read = part;
      return;
    }
    this.#own.endSnapshot(snapshot);
    member.snapshot = undefined;
    member.sent = version;
  }

  #acknowledge(member: Member, { version, snapshot: number, part }: RouteHave): void {
    const { deltas, snapshot } = member;
    member.have = Math.max(member.have, version);
    while (deltas.length > 0 && (deltas[0] as number) <= version) deltas.shift();
    if (snapshot === undefined) return;
    if (snapshot.number === number) snapshot.read = Math.max(snapshot.read, Math.min(part, snapshot.sent));
    else if (snapshot.isSent && version >= snapshot.base) {
      this.#own.endSnapshot(snapshot);
      member.snapshot = undefined;
    }
  }

  stats(): MessageRoutesStats {
    const { size: filters, bytes: ownBytes, snapshots } = this.#own;
    const { routes, bytes, refused } = this.#numbers;
    return {
      own: { filters, bytes: ownBytes },
      routes,
      bytes,
      nodes: this.#members.size,
      snapshots,
      refused: { ...refused },
    };
  }
}

function lacks({ isAlive, since, have }: Member, version: number): boolean {
  return isAlive && since < version && have < version;
}
