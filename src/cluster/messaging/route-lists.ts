/**
 * How nodes learn each other's subscriptions (docs/internals/messaging.md, docs/spec/messaging.md). Pure.
 *
 *   owner                              reader
 *     CHANGES first … last ──────────>    a snapshot
 *     CHANGES ───────────────────────>    later ones, in order
 *     <─────────────────────────── ASK    requests a snapshot
 *
 * The link delivers the items of a session in order, each once, and reports it. In a later session the owner begins with
 * a snapshot. An owner without subscriptions sends nothing unless asked: no link is opened for it.
 *
 * Few items are undelivered per member, and the rate of parts is limited: a list of a million filters must not block
 * messages. The routes of a lost node are kept for the grace period but not used.
 */
import { InvalidStateError } from "../../core/errors.js";
import { LatestMap, MAX_MEMBERS } from "../bounds.js";
import { MAX_NODE_ROUTES, ROUTE_FLUSH, ROUTE_PARTS, ROUTE_PARTS_TIME } from "./bounds.js";
import type { MessageRoutesStats, SendResult } from "./parts.js";
import { ASK, decodeRouteItem, OwnRoutes, type RouteChanges, type RouteSnapshot } from "./route-own.js";
import type { RouteNode, RouteTable } from "./route-table.js";

// --- Copies ------------------------------------------------------------------------------------------------

export interface RouteLimits {
  readonly nodeRoutes: number;
  readonly nodeBytes: number;
  readonly routes: number;
  readonly bytes: number;
}

/** Further routes are not taken. */
const ROUTE_LIMITS: RouteLimits = {
  nodeRoutes: MAX_NODE_ROUTES,
  nodeBytes: 268_435_456,
  routes: 33_554_432,
  bytes: 2_147_483_648,
};

/** Shared by all copies. */
interface RouteCopies {
  readonly store: RouteTable;
  readonly limits: RouteLimits;
  /** Counts refusals, by reason. */
  refuse(reason: string): void;
}

/** A bounded copy of another node's subscriptions, in a table. */
class RouteCopy {
  readonly id: string;
  readonly #copies: RouteCopies;
  /** Whether it was whole once: changes may follow. */
  isWhole = false;
  /** The snapshot that is being read, and the number of its changes so far. */
  #reading: RouteNode | undefined = undefined;
  #read = 0;
  node: RouteNode;

  constructor(id: string, copies: RouteCopies) {
    this.id = id;
    this.#copies = copies;
    this.node = copies.store.takeNode();
  }

  /** A lost node's routes are kept, but lead nowhere. */
  get isAlive(): boolean {
    return this.node.owner !== undefined;
  }

  set isAlive(isAlive: boolean) {
    this.node.owner = isAlive ? this.id : undefined;
  }

  end(): void {
    this.#endReading();
    this.#copies.store.deleteNode(this.node);
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  #endReading(): void {
    const node = this.#reading;
    this.#reading = undefined;
    if (node !== undefined && node !== this.node) this.#copies.store.deleteNode(node);
  }

  /** Changes of the list, or of a snapshot that is being read. @returns why they are refused */
  take(changes: RouteChanges): "sequence" | "snapshot" | undefined {
    if (changes.isFirst) this.#beginReading();
    const reading = this.#reading;
    if (reading === undefined && (changes.isLast || !this.isWhole)) return "sequence";
    this.#read += changes.changes.length;
    // The list may change while it is read, but a snapshot has an end.
    if (reading !== undefined && this.#read > 2 * this.#copies.limits.nodeRoutes) {
      this.#endReading();
      return "snapshot";
    }
    this.#apply(reading ?? this.node, changes);
    if (reading !== undefined && changes.isLast) this.#finish(reading);
    return undefined;
  }

  /** Into the current node while it is empty, so that it serves at once. */
  #beginReading(): void {
    this.#endReading();
    const isEmpty = !this.isWhole && this.node.routes === 0;
    this.#reading = isEmpty ? this.node : this.#copies.store.takeNode();
    this.#read = 0;
  }

  /** Routes above a bound, and invalid filters, are left out and counted. */
  #apply(node: RouteNode, { changes }: RouteChanges): void {
    const { store, limits, refuse } = this.#copies;
    for (const { filter, isAdded } of changes) {
      const bytes = Buffer.byteLength(filter);
      if (!isAdded) store.delete(filter, node);
      else if (node.routes >= limits.nodeRoutes || node.bytes + bytes > limits.nodeBytes)
        refuse("routes:node");
      else if (store.size >= limits.routes || store.filterBytes + bytes > limits.bytes) refuse("routes:all");
      else {
        const result = store.add(filter, node);
        if (result !== "added" && result !== "known") refuse(`filter:${result}`);
      }
    }
  }

  #finish(node: RouteNode): void {
    const before = this.node;
    this.#reading = undefined;
    this.isWhole = true;
    if (node === before) return;
    node.owner = before.owner;
    this.node = node;
    this.#copies.store.deleteNode(before);
  }
}

// --- Lists of all nodes ------------------------------------------------------------------------------------

export interface RouteListsEffects {
  send(to: string, item: Uint8Array): SendResult;
  /** Session of the link to a member; -1: none. */
  session(to: string): number;
  /** Calls back when the item just sent is delivered, or with `false` if its session has ended or is interrupted. */
  onDelivered(to: string, done: (now: number, isDelivered: boolean) => void): void;
  /** The store, or `unsettled`, changed. */
  changed(): void;
  /** The result of `acked` may have changed. */
  progressed(): void;
}

export interface RouteListsOptions {
  /** Of this node. */
  readonly id: string;
  readonly store: RouteTable;
  readonly effects: RouteListsEffects;
  readonly grace: number;
  /** Maximum for a new member in `unsettled`. */
  readonly settle: number;
  readonly limits?: RouteLimits | undefined;
}

/** Another node: the copy of its list, and its progress with this node's. */
class Member extends RouteCopy {
  lostAt = 0;
  /** This node's version when the member was met. Earlier versions do not wait for the member. */
  since = 0;
  /** Delivered version, and the version after everything sent. */
  have = 0;
  sent = 0;
  /** Of the link, when the last item was sent. */
  session = -1;
  /** Undelivered items; the count of interruptions, since late reports are ignored. */
  inFlight = 0;
  epoch = 0;
  snapshot: RouteSnapshot | undefined = undefined;
  /** Whether the member has asked for a snapshot. */
  isAsked = false;
  /** Whether the member is to be asked for its own, and was asked without an answer so far. */
  asks = false;
  waits = false;

  lacks(version: number): boolean {
    return this.isAlive && this.since < version && this.have < version;
  }
}

export class RouteLists {
  readonly #id: string;
  readonly #effects: RouteListsEffects;
  readonly #grace: number;
  readonly #settle: number;
  readonly #own = new OwnRoutes();
  readonly #copies: RouteCopies;
  readonly #refused: Record<string, number> = Object.create(null) as Record<string, number>;
  readonly #members = new Map<string, Member>();
  /** New members with unknown interest, until it arrives, they are lost, or after `settle` ms: the deadlines. */
  readonly unsettled = new Map<string, number>();
  /** Whether new members are asked for their list. */
  #asksUnsettled = false;
  /** Longest lost first. */
  readonly #lost = new Set<string>();
  /** Nodes whose list was deleted here, or awaited; they are asked when met again. */
  readonly #forgotten = new LatestMap<string, true>(MAX_MEMBERS);
  /** Members waiting for a part under the rate limit, longest wait first. */
  readonly #hungry = new Set<Member>();
  /** Parts made since a time. */
  #parts = 0;
  #partsAt = Number.NEGATIVE_INFINITY;
  #flushAt = Infinity;

  constructor({ id, store, effects, grace, settle, limits = ROUTE_LIMITS }: RouteListsOptions) {
    this.#id = id;
    this.#effects = effects;
    this.#grace = grace;
    this.#settle = settle;
    this.#copies = { store, limits, refuse: (reason) => this.#refuse(reason) };
  }

  #refuse(reason: string): void {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1;
  }

  // --- The own list --------------------------------------------------------------------------------------------------

  /**
   * @returns the version to check with `acked`
   * @throws InvalidStateError `EFSM` at the limit of filters, or of their bytes, per node
   */
  subscribe(now: number, filter: string): number {
    const { nodeRoutes, nodeBytes } = this.#copies.limits;
    const isKnown = this.#own.filters.has(filter);
    if (!isKnown && this.#own.filters.size >= nodeRoutes)
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
    if (this.#own.hasPending) this.#flushSoon(now);
    return this.#own.version;
  }

  #flushSoon(now: number): void {
    this.#flushAt = Math.min(this.#flushAt, now + ROUTE_FLUSH);
  }

  #flush(now: number): void {
    // A few at a time: turns stay short, and members get the blocks before the log forgets them.
    this.#own.logBlocks(8);
    this.#flushAt = this.#own.hasPending ? now + ROUTE_FLUSH : Infinity;
    for (const member of this.#members.values()) this.#feed(now, member);
  }

  /** Whether every member that was present at a version has it. */
  acked(version: number): boolean {
    return this.missing(version) === 0;
  }

  missing(version: number): number {
    let missing = 0;
    for (const member of this.#members.values()) if (member.lacks(version)) missing += 1;
    return missing;
  }

  // --- Members -------------------------------------------------------------------------------------------------------

  has(id: string): boolean {
    return this.#members.has(id);
  }

  onMember(now: number, id: string, state: "alive" | "lost" | "gone"): void {
    if (id === this.#id) return;
    const member = this.#members.get(id);
    if (state === "alive") {
      this.#meet(now, id);
      this.#arrive(now, member ?? this.#add(id));
    } else {
      this.#settled(id);
      if (member !== undefined && state === "gone") this.#remove(member);
      else if (member !== undefined) this.#lose(now, member);
    }
    this.#effects.progressed();
  }

  #meet(now: number, id: string): void {
    const isKnown = this.#members.get(id)?.isAlive === true;
    if (this.#settle <= 0 || isKnown || this.unsettled.has(id)) return;
    this.unsettled.set(id, now + this.#settle);
    this.#effects.changed();
  }

  #add(id: string): Member {
    const member = new Member(id, this.#copies);
    this.#members.set(id, member);
    member.asks = this.#forgotten.delete(id);
    return member;
  }

  #arrive(now: number, member: Member): void {
    if (member.isAlive) return;
    member.isAlive = true;
    member.since = this.#own.version;
    this.#effects.changed();
    this.#lost.delete(member.id);
    // A returned member's routes are already known.
    if (member.isWhole) this.#settled(member.id);
    else if (this.#asksUnsettled) member.asks = true;
    this.#feed(now, member);
  }

  #lose(now: number, member: Member): void {
    if (!member.isAlive) return;
    member.isAlive = false;
    member.lostAt = now;
    this.#interrupt(member);
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
    this.#interrupt(member);
    // An owner that was asked may have sent its list, and have nothing more to send.
    if (member.isWhole || member.asks || member.waits) this.#forgotten.set(member.id, true);
    member.end();
    this.#effects.changed();
  }

  /** Undelivered items are no longer counted. An incomplete snapshot is sent again. */
  #interrupt(member: Member): void {
    member.inFlight = 0;
    member.epoch += 1;
    this.#hungry.delete(member);
    if (member.snapshot === undefined) return;
    this.#own.snapshots.delete(member.snapshot);
    member.snapshot = undefined;
    member.sent = 0;
  }

  /** The member has none of the items. */
  #restart(member: Member): void {
    this.#interrupt(member);
    member.have = 0;
    member.sent = 0;
    member.session = -1;
    if (member.waits) member.asks = true;
  }

  askUnsettled(now: number): void {
    if (this.#asksUnsettled) return;
    this.#asksUnsettled = true;
    for (const id of this.unsettled.keys()) {
      const member = this.#members.get(id);
      if (member !== undefined) this.#ask(now, member);
    }
  }

  #ask(now: number, member: Member): void {
    member.asks = true;
    this.#feed(now, member);
  }

  #settled(id: string): void {
    if (this.unsettled.delete(id)) this.#effects.changed();
    if (this.unsettled.size === 0) this.#asksUnsettled = false;
  }

  // --- Time ----------------------------------------------------------------------------------------------------------

  /** All deadlines of one kind are in the order of their insertion. */
  nextWakeUp(): number {
    const [unsettled = Infinity] = this.unsettled.values();
    const [lost] = this.#lost;
    const expiry = lost === undefined ? Infinity : this.#expiryOf(lost);
    const parts = this.#hungry.size > 0 ? this.#partsAt + ROUTE_PARTS_TIME : Infinity;
    return Math.min(this.#flushAt, unsettled, expiry, parts);
  }

  tick(now: number): void {
    if (now >= this.#flushAt) this.#flush(now);
    // A member that wants more parts goes to the end.
    for (const member of this.#hungry) {
      if (!this.#mayMakePart(now)) break;
      this.#hungry.delete(member);
      this.#feed(now, member, true);
    }
    for (const [id, until] of this.unsettled) {
      if (now < until) break;
      this.#settled(id);
    }
    for (const id of this.#lost) {
      if (now < this.#expiryOf(id)) break;
      this.#remove(this.#members.get(id) as Member);
    }
  }

  #expiryOf(lost: string): number {
    return (this.#members.get(lost) as Member).lostAt + this.#grace;
  }

  /** The link to a member has room, or a new session. */
  onRoom(now: number, id: string): void {
    const member = this.#members.get(id);
    if (member !== undefined) this.#feed(now, member);
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  /** Up to the room of the link. @param isNext whether its turn for parts has come */
  #feed(now: number, member: Member, isNext = this.#hungry.size === 0): void {
    if (!member.isAlive) return;
    if (member.session >= 0 && member.session !== this.#effects.session(member.id)) this.#restart(member);
    if (member.asks) {
      if (this.#effects.send(member.id, ASK) !== "sent") return;
      member.asks = false;
      member.waits = true;
      member.session = this.#effects.session(member.id);
    }
    while (member.inFlight < 16) {
      if (member.snapshot === undefined) {
        if (member.sent === this.#own.cut && !member.isAsked) return;
        // A reader with nothing gets a snapshot: its size is the list's, not the log's.
        const isNone = member.sent === 0 || member.isAsked;
        const block = isNone ? undefined : this.#own.log.get(member.sent);
        if (block !== undefined) {
          if (!this.#send(member, block.item, block.to)) return;
          member.sent = block.to;
          continue;
        }
        member.isAsked = false;
        member.snapshot = this.#own.beginSnapshot();
      }
      if (!this.#feedPart(now, member, member.snapshot, isNext)) return;
    }
  }

  /** @returns whether the link has it */
  #feedPart(now: number, member: Member, snapshot: RouteSnapshot, isNext: boolean): boolean {
    if (snapshot.part === undefined) {
      if (!(isNext && this.#mayMakePart(now))) {
        this.#hungry.add(member);
        return false;
      }
      this.#parts += 1;
      snapshot.part = this.#own.makePart(snapshot);
    }
    if (!this.#send(member, snapshot.part, snapshot.isLast ? snapshot.base : 0)) return false;
    snapshot.part = undefined;
    if (!snapshot.isLast) return true;
    this.#own.snapshots.delete(snapshot);
    member.snapshot = undefined;
    member.sent = snapshot.base;
    return true;
  }

  #mayMakePart(now: number): boolean {
    if (now - this.#partsAt >= ROUTE_PARTS_TIME) {
      this.#partsAt = now;
      this.#parts = 0;
    }
    return this.#parts < ROUTE_PARTS;
  }

  /** @param version that the member then has */
  #send(member: Member, item: Uint8Array, version: number): boolean {
    if (this.#effects.send(member.id, item) !== "sent") return false;
    member.session = this.#effects.session(member.id);
    member.inFlight += 1;
    const { epoch } = member;
    this.#effects.onDelivered(member.id, (now, isDelivered) => {
      if (epoch !== member.epoch) return;
      if (!isDelivered) {
        this.#interrupt(member);
        this.#flushSoon(now);
        return;
      }
      member.inFlight -= 1;
      if (version > member.have) {
        member.have = version;
        this.#effects.progressed();
      }
      this.#feed(now, member);
    });
    return true;
  }

  // --- What comes ----------------------------------------------------------------------------------------------------

  /**
   * @param item not changed afterwards
   * @returns the reason for refusal
   */
  onItem(now: number, from: string, item: Buffer): string | undefined {
    const reason = this.#receive(now, from, item);
    if (reason !== undefined) this.#refuse(reason);
    return reason;
  }

  #receive(now: number, from: string, item: Buffer): string | undefined {
    const member = this.#members.get(from);
    if (member === undefined) return "stranger";
    const message = decodeRouteItem(item);
    if (message === undefined) return "malformed";
    if (message !== "ask") return this.#onChanges(now, member, message);
    // A snapshot on its way is the answer.
    if (member.snapshot === undefined) member.isAsked = true;
    this.#feed(now, member);
    return undefined;
  }

  #onChanges(now: number, member: Member, changes: RouteChanges): string | undefined {
    const reason = member.take(changes);
    if (reason !== undefined) {
      // The owner ignores the question while it sends a snapshot.
      if (changes.isLast || !member.waits) this.#ask(now, member);
      return reason;
    }
    this.#effects.changed();
    if (member.isReading) return undefined;
    member.waits = false;
    this.#settled(member.id);
    return undefined;
  }

  stats(): MessageRoutesStats {
    const { filters, bytes: ownBytes, snapshots } = this.#own;
    const { size, filterBytes } = this.#copies.store;
    return {
      own: { filters: filters.size, bytes: ownBytes },
      routes: size,
      bytes: filterBytes,
      nodes: this.#members.size,
      snapshots: snapshots.size,
      refused: { ...this.#refused },
    };
  }
}
