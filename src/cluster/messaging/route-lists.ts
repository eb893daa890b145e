/**
 * How nodes learn each other's subscriptions. No socket, no timer, no clock.
 *
 * Each node owns one list: its filters, with a version that counts their changes, in a life of its own. It sends the list to every live
 * member over the link to that member, and nobody hands on the list of another: what comes over a link is its sender's own word.
 *
 *   owner                                    reader
 *     PART 0, 1 … last ───────────────────────>    a snapshot, some parts ahead of what was read
 *     DELTA from a version ───────────────────>    changes, in order
 *     <──────────────────────────────── HAVE       version, parts read: acknowledges each of the above
 *     STATE question, version, filters ───────>    after a cut, without progress, and now and then
 *     <─────────────────────── HAVE question       from here on the owner goes on
 *     <───────────────────────────────── ASK       STATE is wanted
 *
 * The owner remembers what each reader has. A newcomer gets a snapshot at once, and everybody gets deltas. Links keep their order and
 * repeat what a connection lost, so nothing is missing as a rule. Where something may be, the owner asks by STATE and sends nothing else until
 * the answer says where to go on: in the snapshot that is being read, in the log of deltas, or with a new snapshot. A reader whose copy
 * of a version has another number of filters than STATE says answers that it has nothing.
 *
 * An owner without subscriptions says nothing, so that no link is opened for it. Parts are made at a pace, a bounded number of them waits
 * for an answer, and each is some KiB: a list of a million filters takes neither the link nor the turn from messages.
 *
 * A lost node's routes stay for the grace period, and lead nowhere meanwhile; those of a node that left, was removed, or began another
 * life, go at once.
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

/** Deltas that one flush makes at most: a turn is not to be longer. */
const DELTAS_A_FLUSH = 8;
/** ms between two looks at who has not answered. */
const LOOK = 50;
const NEVER = Number.POSITIVE_INFINITY;

/** `expected`: it is alive, and whether it takes part is not known yet. */
export type RouteMemberState = "alive" | "expected" | "lost" | "gone";

export interface RouteListsEffects {
  send(to: string, item: Uint8Array): SendResult;
  /** `nodeOf` or the store answer otherwise than before. */
  changed(): void;
  /** `acked` may answer otherwise than before. */
  progressed(): void;
  /** A member is no longer in `unsettled`. */
  settled(id: string): void;
}

export interface RouteListsOptions {
  readonly self: { readonly id: string; readonly life: number };
  readonly store: RouteStore;
  readonly random: () => number;
  readonly now: number;
  readonly effects: RouteListsEffects;
  /** ms for which the routes of a lost node are kept. */
  readonly grace?: number;
  /** ms for which a member that was just met is in `unsettled`, at most. */
  readonly settle?: number;
  readonly limits?: RouteLimits;
  /** ms between two STATEs to members that have everything. */
  readonly digestInterval?: number;
}

/** Another node: its list, and what it has of this node's own. */
class Member {
  readonly id: string;
  readonly copy: RouteCopy;
  /** As it announces it. */
  life: number;
  isAlive = false;
  lostAt = 0;
  /** The own version when it was met: it is not waited for by what was known then. */
  since = 0;
  /** The own version that it has, and the one that it has when all that was sent has arrived. */
  have = 0;
  sent = 0;
  /** Versions of the deltas on their way. */
  readonly deltas: number[] = [];
  snapshot: RouteSnapshot | undefined = undefined;
  /** The last item found no room. */
  isFull = false;
  /** The last STATE, and the first one since which nothing else was sent; 0: none waits for an answer. */
  question = 0;
  asking = 0;
  statedAt = Number.NEGATIVE_INFINITY;
  /** When STATE is sent without progress, and the pause after that. */
  retryAt = NEVER;
  retry = ROUTE_RETRY;
  /** When it was asked for its STATE. */
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
  /** Live nodes of which is not known whether they take part: the own version then, and until when they are waited for. */
  readonly #expected = new Map<string, { readonly since: number; readonly until: number }>();
  /** Members that were just met, and until when their interest is waited for. */
  readonly #unsettled = new Map<string, number>();
  /** Whether somebody waits for those. */
  #asksUnsettled = false;
  /** Those that are lost, the longest lost first. */
  readonly #lost = new Set<string>();
  /** Nodes whose list was here and went: they are asked for it when they are met again, since they may not have noticed. The oldest first. */
  readonly #forgotten = new Set<string>();
  /** Those that have not acknowledged everything that was sent to them. */
  readonly #busy = new Set<Member>();
  /** Those for which a part may be made as soon as the pace allows, the longest waiting first. */
  readonly #hungry = new Set<Member>();
  /** Parts that may be made now, and since when that is. */
  #credit = ROUTE_BURST;
  #creditAt: number;
  /** Who got the last digest. */
  #digests = 0;
  #nextDigest: number;
  #flushAt = NEVER;
  #lastLook: number;
  #sentItems = 0;
  #sentBytes = 0;

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
   * This node is interested in what fits a filter.
   *
   * @returns the version by which `acked` reports who knows it
   * @throws InvalidStateError `EFSM` where it has as many filters, or bytes of them, as the others take of one node
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

  /** Whether all members that were there when a version was made have it. */
  acked(version: number): boolean {
    for (const { since } of this.#expected.values()) if (since < version) return false;
    for (const member of this.#members.values()) if (lacks(member, version)) return false;
    return true;
  }

  /** Members that lack a version. */
  missing(version: number): number {
    let missing = 0;
    for (const { since } of this.#expected.values()) if (since < version) missing += 1;
    for (const member of this.#members.values()) if (lacks(member, version)) missing += 1;
    return missing;
  }

  // --- Members -------------------------------------------------------------------------------------------------------

  /**
   * What membership says of another node that takes messages.
   *
   * @param life of one that is alive: a number of its own for each life, as it announces it
   */
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
      // Its first items may have come before the news.
      if (member.copy.life !== life) member.copy.reset(life);
      this.#effects.changed();
    }
    if (!member.isAlive) {
      member.isAlive = true;
      member.since = since;
      member.copy.isActive = true;
      this.#effects.changed();
      // What was on its way when it was lost may not have come.
      if (this.#lost.delete(member.id) && member.sent > 0) this.#state(now, member);
    } else if (!isNew) return;
    this.#feed(now, member);
    // It is back: what is here of it served before.
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
    // The longest lost one goes where there are more than a cluster has members.
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

  /** What is on its way to it is given up. */
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

  /**
   * Members that were just met, whose interest is not known here yet. One leaves when it is known, when the member is lost, and after
   * `settle` ms.
   */
  get unsettled(): ReadonlyMap<string, number> {
    return this.#unsettled;
  }

  /** Somebody waits for the interest of those that were just met: they are asked, again and again, since one may not know this node yet. */
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

  /** The node's id that a number of the store leads to; `undefined`: it is no target now. */
  nodeOf(number: number): string | undefined {
    return this.#numbers.ownerOf(number);
  }

  /** The number of a node in the store. */
  numberOf(id: string): number | undefined {
    return this.#members.get(id)?.copy.number;
  }

  /** The version that this node has of a list. */
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
    // One that gets a part and wants more is the last one again.
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

  /** A peer that was full takes items again, or a session with it began. */
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

  /** To one member after the other. */
  #sendDigest(now: number): void {
    if (this.#own.cut === 0 || this.#members.size === 0) return;
    this.#digests = (this.#digests + 1) % this.#members.size;
    let at = 0;
    for (const member of this.#members.values())
      if (at++ === this.#digests && member.isAlive && !member.isBusy) this.#state(now, member);
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
      this.#remove(member);
    }
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  #send(to: string, item: Uint8Array): boolean {
    if (this.#effects.send(to, item) !== "sent") return false;
    this.#sentItems += 1;
    this.#sentBytes += item.length;
    return true;
  }

  #give(member: Member, item: Uint8Array): boolean {
    member.isFull = !this.#send(member.id, item);
    return !member.isFull;
  }

  /** Nothing else is sent until it is answered: then all that went before has come, or is lost. */
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

  /** A member gets what it lacks, as far as there is room. @param isNext whether it is its turn to get parts */
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
    // Whoever has nothing gets a snapshot, which is as long as the list, and not as its history.
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

  /** @param item not changed afterwards @returns why it was refused; `undefined`: it was taken, or is out of date */
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

  /** A link brings what its sender is now: another process may have begun before membership has the news. */
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
    // All of it is sent again; what is here serves until that is there.
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
    // Of an earlier life it is late.
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

  /** All that was sent has come, or never will: what it says now is where it is. */
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

  /** Of this node, of the others, and of what is on its way. */
  stats(): MessageRoutesStats {
    const { size: filters, bytes: ownBytes, version, logBytes, snapshots } = this.#own;
    const { routes, bytes, refused } = this.#numbers;
    return {
      own: { filters, bytes: ownBytes, version, logBytes },
      routes,
      bytes,
      nodes: this.#members.size,
      snapshots,
      missing: this.missing(version),
      sentItems: this.#sentItems,
      sentBytes: this.#sentBytes,
      refused: { ...refused },
    };
  }
}

function lacks({ isAlive, since, have }: Member, version: number): boolean {
  return isAlive && since < version && have < version;
}
