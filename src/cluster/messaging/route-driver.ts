/**
 * How nodes learn each other's subscriptions (docs/internals/messaging.md, docs/spec/messaging.md).
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
 *
 * Time excludes pauses of the process, in which it received nothing.
 */
import { ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { DriverTimer, RunningTimeout } from "../../core/timers.js";
import { ignore, neverLate, Waiter } from "../../core/waiter.js";
import { LatestMap, MAX_MEMBERS } from "../bounds.js";
import { ROUTE_FLUSH, ROUTE_PARTS, ROUTE_PARTS_TIME, ROUTE_READY_TIMEOUT } from "./bounds.js";
import type { NodeLinks } from "./links.js";
import type { MessagingSettings } from "./options.js";
import { MessageKind, type MessageRoutesStats } from "./parts.js";
import { ROUTE_LIMITS, type RouteCopies, RouteCopy, type RouteLimits } from "./route-copy.js";
import { ASK, decodeRouteItem, OwnRoutes, type RouteChanges, type RouteSnapshot } from "./route-own.js";
import { RouteTable } from "./route-table.js";

/** Callers until all know a version. */
interface Known {
  version: number;
  readonly since: number;
  readonly waiter: Waiter<void>;
  readonly timeout: RunningTimeout;
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

export type RouteLinks = Pick<NodeLinks, "send" | "room" | "session" | "onDelivered" | "takesPart">;

export class RouteDriver {
  /** Filters of the other nodes. */
  readonly table = new RouteTable();
  /** Changes with the result of `table.match`, and with `unsettled`. */
  version = 0;
  /** New members with unknown interest, until it arrives, they are lost, or after `settle` ms: the deadlines. */
  readonly unsettled = new Map<string, number>();
  readonly #id: string;
  readonly #settings: Pick<MessagingSettings, "grace" | "settle">;
  readonly #links: RouteLinks;
  readonly #onChanged: () => void;
  /** Counts this many ms of a pause of the process. */
  readonly #timer = new DriverTimer(1_000);
  readonly #own = new OwnRoutes();
  readonly #copies: RouteCopies;
  readonly #refused: Record<string, number> = Object.create(null) as Record<string, number>;
  readonly #members = new Map<string, Member>();
  /** By version. */
  readonly #waits: Known[] = [];
  /** Members whose link has no room. */
  readonly #full = new Set<string>();
  /** Whether new members are asked for their list. */
  #asksUnsettled = false;
  /** Longest lost first. */
  readonly #lost = new Set<string>();
  /** Nodes with a list that was deleted here, or awaited. The next meeting asks for it. */
  readonly #forgotten = new LatestMap<string, true>(MAX_MEMBERS);
  /** Members waiting for a part under the rate limit, longest wait first. */
  readonly #hungry = new Set<Member>();
  /** Parts made since a time. */
  #parts = 0;
  #partsAt = Number.NEGATIVE_INFINITY;
  #flushAt = Infinity;
  #sweptAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** @param id of this node @param onChanged called when `version` has changed */
  constructor(
    id: string,
    settings: Pick<MessagingSettings, "grace" | "settle">,
    links: RouteLinks,
    onChanged: () => void,
    limits: RouteLimits = ROUTE_LIMITS,
  ) {
    this.#id = id;
    this.#settings = settings;
    this.#links = links;
    this.#onChanged = onChanged;
    this.#copies = { store: this.table, limits, refuse: (reason) => this.#refuse(reason) };
    this.#timer.hold(false);
    this.#timer.start({ nextWakeUp: () => this.#nextWakeUp(), tick: (now) => this.#tick(now) });
  }

  // --- The own list --------------------------------------------------------------------------------------------------

  /**
   * Begins this node's own interest in a filter.
   *
   * @returns settles when all present members have acknowledged it; rejects with TimeoutError `ETIMEDOUT` after 10 s,
   * with ClosedError `EAGAIN` when messaging closes. It need not be awaited
   * @throws InvalidStateError `EFSM` for more filters than a node may have, or more bytes of them
   */
  subscribe(filter: string): Promise<void> {
    const { nodeRoutes, nodeBytes } = this.#copies.limits;
    const isKnown = this.#own.filters.has(filter);
    if (!isKnown && this.#own.filters.size >= nodeRoutes)
      throw new InvalidStateError("EFSM", `a node subscribes to at most ${nodeRoutes} filters`);
    if (!isKnown && this.#own.bytes + Buffer.byteLength(filter) > nodeBytes)
      throw new InvalidStateError("EFSM", `the filters of a node have at most ${nodeBytes} bytes`);
    this.#own.add(filter);
    return this.#known();
  }

  /** @returns as `subscribe` */
  unsubscribe(filter: string): Promise<void> {
    this.#own.delete(filter);
    return this.#known();
  }

  /** Settles when all present members know this version. */
  #known(): Promise<void> {
    const { version } = this.#own;
    const now = this.#timer.now();
    if (this.#own.hasPending) this.#flushSoon(now);
    if (!this.#closed && this.#missing(version) === 0) return Promise.resolve();
    const last = this.#waits.at(-1);
    // Changes in one item have one answer.
    if (last !== undefined && now - last.since < ROUTE_FLUSH) {
      last.version = version;
      return last.waiter.promise;
    }
    const waiter = new Waiter<void>(-1, undefined, neverLate, ignore);
    if (this.#closed) waiter.abandon(new ClosedError("EBADF", "messaging is closed"));
    else {
      const timeout = new RunningTimeout(ROUTE_READY_TIMEOUT, () => this.#expire(known));
      const known: Known = { version, since: now, waiter, timeout };
      this.#waits.push(known);
    }
    return waiter.promise;
  }

  /** Members that were present at a version and do not have it. */
  #missing(version: number): number {
    let missing = 0;
    for (const member of this.#members.values()) if (member.lacks(version)) missing += 1;
    return missing;
  }

  #onProgress(): void {
    let done = 0;
    while (done < this.#waits.length && this.#missing((this.#waits[done] as Known).version) === 0) done += 1;
    for (const { waiter, timeout } of this.#waits.splice(0, done)) {
      timeout.clear();
      waiter.resolve();
    }
  }

  #expire(known: Known): void {
    this.#waits.splice(this.#waits.indexOf(known), 1);
    const missing = this.#missing(known.version);
    known.waiter.abandon(
      new TimeoutError(
        "ETIMEDOUT",
        `${missing} of the other nodes have not taken the subscription within ${ROUTE_READY_TIMEOUT} ms`,
      ),
    );
  }

  #flushSoon(now: number): void {
    this.#flushAt = Math.min(this.#flushAt, now + ROUTE_FLUSH);
    this.#timer.update();
  }

  #flush(now: number): void {
    // A few at a time: members get the blocks before the log forgets them.
    this.#own.logBlocks(8);
    this.#flushAt = this.#own.hasPending ? now + ROUTE_FLUSH : Infinity;
    for (const member of this.#members.values()) this.#feed(now, member);
  }

  // --- Members -------------------------------------------------------------------------------------------------------

  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    if (this.#closed || id === this.#id) return;
    const now = this.#timer.now();
    const member = this.#members.get(id);
    const isGone = state === "gone" || (state === "alive" && !this.#links.takesPart(id));
    if (state === "alive" && !isGone) {
      this.#meet(now, id);
      this.#arrive(now, member ?? this.#add(id));
    } else {
      this.#settled(id);
      if (member !== undefined && isGone) this.#remove(member);
      else if (member !== undefined) this.#lose(now, member);
    }
    this.#onProgress();
    this.#timer.update();
  }

  #meet(now: number, id: string): void {
    const isKnown = this.#members.get(id)?.isAlive === true;
    if (this.#settings.settle <= 0 || isKnown || this.unsettled.has(id)) return;
    this.unsettled.set(id, now + this.#settings.settle);
    this.#changed();
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
    this.#changed();
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
    this.#changed();
  }

  #remove(member: Member): void {
    this.#members.delete(member.id);
    this.#lost.delete(member.id);
    this.#interrupt(member);
    // An owner that was asked may have sent its list, and have nothing more to send.
    if (member.isWhole || member.asks || member.waits) this.#forgotten.set(member.id, true);
    member.end();
    this.#changed();
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

  /** Whether there are members in `unsettled`, who are asked then. */
  isSettling(): boolean {
    if (this.unsettled.size === 0) return false;
    if (!this.#asksUnsettled) {
      this.#asksUnsettled = true;
      for (const id of this.unsettled.keys()) {
        const member = this.#members.get(id);
        if (member !== undefined) this.#ask(this.#timer.now(), member);
      }
      this.#timer.update();
    }
    return true;
  }

  #ask(now: number, member: Member): void {
    member.asks = true;
    this.#feed(now, member);
  }

  #settled(id: string): void {
    if (this.unsettled.delete(id)) this.#changed();
    if (this.unsettled.size === 0) this.#asksUnsettled = false;
  }

  #changed(): void {
    this.version += 1;
    this.#onChanged();
  }

  // --- Time ----------------------------------------------------------------------------------------------------------

  /** All deadlines of one kind are in the order of their insertion. */
  #nextWakeUp(): number {
    const [unsettled = Infinity] = this.unsettled.values();
    const [lost] = this.#lost;
    const expiry = lost === undefined ? Infinity : this.#expiryOf(lost);
    const parts = this.#hungry.size > 0 ? this.#partsAt + ROUTE_PARTS_TIME : Infinity;
    return Math.min(this.#flushAt, unsettled, expiry, parts, this.#nextSweep());
  }

  #tick(now: number): void {
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
    if (now < this.#nextSweep()) return;
    this.#sweptAt = now;
    this.table.sweep();
  }

  #expiryOf(lost: string): number {
    return (this.#members.get(lost) as Member).lostAt + this.#settings.grace;
  }

  /** In short turns of some tenths of a ms, even without other changes. */
  #nextSweep(): number {
    return this.table.unswept > 0 ? this.#sweptAt + 5 : Infinity;
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  /** The link to a member has a session, or room. */
  onUp(id: string): void {
    const member = this.#members.get(id);
    if (this.#closed || member === undefined) return;
    this.#feed(this.#timer.now(), member);
    this.#timer.update();
  }

  /** Up to the room of the link. @param isNext whether its turn for parts has come */
  #feed(now: number, member: Member, isNext = this.#hungry.size === 0): void {
    if (!member.isAlive) return;
    if (member.session >= 0 && member.session !== this.#links.session(member.id)) this.#restart(member);
    if (member.asks) {
      if (!this.#give(member, ASK)) return;
      member.asks = false;
      member.waits = true;
    }
    // A member takes what has arrived in one turn, and 16 parts at once held up its messages for 60 ms.
    while (member.inFlight < 2) {
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

  /** @param version that the member then has @returns whether the link has it */
  #send(member: Member, item: Uint8Array, version: number): boolean {
    if (!this.#give(member, item)) return false;
    member.inFlight += 1;
    const { epoch } = member;
    this.#links.onDelivered(member.id, (isDelivered) => {
      if (this.#closed || epoch !== member.epoch) return;
      const now = this.#timer.now();
      if (!isDelivered) {
        this.#interrupt(member);
        this.#flushSoon(now);
        return;
      }
      member.inFlight -= 1;
      if (version > member.have) {
        member.have = version;
        this.#onProgress();
      }
      this.#feed(now, member);
      this.#timer.update();
    });
    return true;
  }

  /** @returns whether the link has it; without room the member is fed again when there is some */
  #give(member: Member, item: Uint8Array): boolean {
    const { id } = member;
    const result = this.#links.send(id, MessageKind.ROUTES, item);
    if (result === "full" && !this.#full.has(id)) {
      this.#full.add(id);
      void this.#links.room(id, item.length).then((isThere) => {
        this.#full.delete(id);
        // Membership reports as well that a peer is gone.
        if (isThere) this.onUp(id);
      });
    }
    if (result === "sent") member.session = this.#links.session(id);
    return result === "sent";
  }

  // --- What comes ----------------------------------------------------------------------------------------------------

  /**
   * @param item not changed afterwards
   * @returns the reason for refusal
   */
  onItem(from: string, item: Buffer): string | undefined {
    if (this.#closed) return undefined;
    // The event of its arrival may follow.
    if (!this.#members.has(from)) this.onMember(from, "alive");
    const reason = this.#receive(this.#timer.now(), from, item);
    if (reason !== undefined) this.#refuse(reason);
    this.#timer.update();
    return reason;
  }

  #refuse(reason: string): void {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1;
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
    this.#changed();
    if (member.isReading) return undefined;
    member.waits = false;
    this.#settled(member.id);
    return undefined;
  }

  stats(): MessageRoutesStats {
    const { filters, bytes: ownBytes, snapshots } = this.#own;
    const { size, filterBytes } = this.table;
    return {
      own: { filters: filters.size, bytes: ownBytes },
      routes: size,
      bytes: filterBytes,
      nodes: this.#members.size,
      snapshots: snapshots.size,
      refused: { ...this.#refused },
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer.stop();
    const error = new ClosedError("EAGAIN", "messaging closed before all nodes had taken the subscription");
    for (const { waiter, timeout } of this.#waits.splice(0)) {
      timeout.clear();
      waiter.abandon(error);
    }
  }
}
