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
 * Few items are undelivered per member: a list of a million filters must not block messages. The routes of a lost node
 * are kept but not used, until it is gone.
 *
 * Time excludes pauses of the process, in which it received nothing.
 */
import { ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { DriverTimer, RunningTimeout } from "../../core/timers.js";
import { ignore, neverLate, Waiter } from "../../core/waiter.js";
import { LatestMap, MAX_MEMBERS } from "../bounds.js";
import { ROUTE_FLUSH, ROUTE_READY_TIMEOUT } from "./bounds.js";
import type { NodeLinks } from "./links.js";
import { QUEUED } from "./node-queues.js";
import { MessageKind, type MessageRoutesStats } from "./parts.js";
import { ROUTE_LIMITS, type RouteCopies, type RouteLimits, RouteMember } from "./route-member.js";
import { ASK, decodeRouteItem, OwnRoutes, RouteProgress } from "./route-own.js";
import { RouteTable } from "./route-table.js";

/** Callers until all know a version. */
interface Known {
  version: number;
  readonly since: number;
  readonly waiter: Waiter<void>;
  readonly timeout: RunningTimeout;
}

export interface RouteEffects {
  /** `version` has changed. */
  onChanged(): void;
  /** A member wants the retained values of filters. */
  onWanted(id: string, filters: readonly string[]): void;
}

export type RouteLinks = Pick<NodeLinks, "send" | "session" | "onDelivered" | "takesPart">;

export class RouteDriver {
  /** Filters of the other nodes. */
  readonly table = new RouteTable();
  /** Changes with the result of `table.match`, and with `unsettled`. */
  version = 0;
  /** New members with unknown interest, until it arrives, they are lost, or after `settle` ms: the deadlines. */
  readonly unsettled = new Map<string, number>();
  readonly #id: string;
  /** ms. */
  readonly #settle: number;
  readonly #links: RouteLinks;
  readonly #effects: RouteEffects;
  /** Counts this many ms of a pause of the process. */
  readonly #timer = new DriverTimer(1_000);
  readonly #own = new OwnRoutes();
  readonly #copies: RouteCopies;
  readonly #refused: Record<string, number> = Object.create(null) as Record<string, number>;
  readonly #members = new Map<string, RouteMember>();
  /** By version. */
  readonly #waits: Known[] = [];
  /** Whether new members are asked for their list. */
  #asksUnsettled = false;
  /** Gone nodes, whose list was deleted here, or was asked for. The next meeting asks for it. */
  readonly #forgotten = new LatestMap<string, true>(MAX_MEMBERS);
  #flushAt = Infinity;
  #sweptAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** @param id of this node @param settle ms */
  constructor(
    id: string,
    settle: number,
    links: RouteLinks,
    effects: RouteEffects,
    limits: RouteLimits = ROUTE_LIMITS,
  ) {
    this.#id = id;
    this.#settle = settle;
    this.#links = links;
    this.#effects = effects;
    this.#copies = { store: this.table, limits, refuse: (reason) => this.#refuse(reason) };
    this.#timer.hold(false);
    this.#timer.start({ nextWakeUp: () => this.#nextWakeUp(), tick: (now) => this.#tick(now) });
  }

  // --- The own list --------------------------------------------------------------------------------------------------

  /**
   * Begins this node's own interest in a filter.
   *
   * @param isWanted whether others are to send their retained values
   * @returns settles when all present members have acknowledged it; rejects with TimeoutError `ETIMEDOUT` after 10 s,
   * with ClosedError `EAGAIN` when messaging closes. It need not be awaited
   * @throws InvalidStateError `EFSM` for more filters than a node may have, or more bytes of them
   */
  subscribe(filter: string, isWanted = false): Promise<void> {
    const { nodeRoutes, nodeBytes } = this.#copies.limits;
    const isKnown = this.#own.filters.has(filter);
    if (!isKnown && this.#own.filters.size >= nodeRoutes)
      throw new InvalidStateError("EFSM", `a node subscribes to at most ${nodeRoutes} filters`);
    if (!isKnown && this.#own.bytes + Buffer.byteLength(filter) > nodeBytes)
      throw new InvalidStateError("EFSM", `the filters of a node have at most ${nodeBytes} bytes`);
    this.#own.add(filter, isWanted);
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
    this.#flushSoon(now);
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

  // --- Members -------------------------------------------------------------------------------------------------------

  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    if (this.#closed || id === this.#id) return;
    const member = this.#members.get(id);
    if (state === "alive" && this.#links.takesPart(id)) this.#arrive(id, member);
    else {
      this.#settled(id);
      if (member !== undefined && state === "lost") this.#lose(member);
      else if (member !== undefined) this.#remove(member);
    }
    this.#onProgress();
    this.#timer.update();
  }

  #arrive(id: string, known: RouteMember | undefined): void {
    if (known?.isAlive === true) return;
    const member = known ?? new RouteMember(id, this.#copies);
    this.#members.set(id, member);
    member.isAlive = true;
    member.since = this.#own.version;
    // A returned member's routes are already known.
    if (this.#settle > 0 && !member.isWhole) this.unsettled.set(id, this.#timer.now() + this.#settle);
    this.#changed();
    this.#feed(member);
    // Those of values that were published meanwhile, too.
    if (member.wanted.size > 0) this.#effects.onWanted(id, [...member.wanted]);
    if (this.#forgotten.delete(id) || (this.#asksUnsettled && !member.isWhole)) this.#ask(id);
  }

  #lose(member: RouteMember): void {
    if (!member.isAlive) return;
    member.isAlive = false;
    this.#changed();
  }

  #remove(member: RouteMember): void {
    this.#members.delete(member.id);
    this.#forgotten.set(member.id, true);
    member.end();
    this.#changed();
  }

  /** Whether there are members in `unsettled`, who are asked then. */
  isSettling(): boolean {
    if (this.unsettled.size === 0) return false;
    if (!this.#asksUnsettled) {
      this.#asksUnsettled = true;
      for (const id of this.unsettled.keys()) this.#ask(id);
    }
    return true;
  }

  /** Without an answer everything is sent to it until it has settled. */
  #ask(id: string): void {
    const member = this.#members.get(id) as RouteMember;
    member.asks = true;
    this.#feed(member);
  }

  #settled(id: string): void {
    if (this.unsettled.delete(id)) this.#changed();
    if (this.unsettled.size === 0) this.#asksUnsettled = false;
  }

  #changed(): void {
    this.version += 1;
    this.#effects.onChanged();
  }

  // --- Time ----------------------------------------------------------------------------------------------------------

  #nextWakeUp(): number {
    // The first one was met first.
    const [unsettled = Infinity] = this.unsettled.values();
    return Math.min(this.#flushAt, unsettled, this.#nextSweep());
  }

  #tick(now: number): void {
    if (now >= this.#flushAt) {
      this.#flushAt = Infinity;
      for (const member of this.#members.values()) this.#feed(member);
    }
    for (const [id, until] of this.unsettled) {
      if (now < until) break;
      this.#settled(id);
    }
    if (now < this.#nextSweep()) return;
    this.#sweptAt = now;
    this.table.sweep();
  }

  /** In short turns of some tenths of a ms, even without other changes. */
  #nextSweep(): number {
    return this.table.unswept > 0 ? this.#sweptAt + 5 : Infinity;
  }

  // --- Sending -------------------------------------------------------------------------------------------------------

  /** The link to a member has a session. */
  onUp(id: string): void {
    const member = this.#members.get(id);
    if (this.#closed || member === undefined) return;
    this.#feed(member);
    this.#timer.update();
  }

  #feed(member: RouteMember): void {
    if (!member.isAlive) return;
    if (member.session >= 0 && member.session !== this.#links.session(member.id)) member.restart();
    const now = this.#timer.now();
    if (member.isAsked && member.progress.isWhole) {
      // A peer may ask over and over.
      const due = member.snapshotAt + 1_000;
      if (now < due) this.#flushAt = Math.min(this.#flushAt, due);
      else member.progress = new RouteProgress();
    }
    // A member takes what has arrived in one turn, and 16 items at once held up its messages for 60 ms.
    while (member.inFlight < 2) {
      const { progress } = member;
      const isCurrent = progress.sent === this.#own.version;
      const isNothing = progress.sent < 0 && this.#own.version === 0 && !member.isAsked;
      if (member.asks) {
        member.asks = !this.#send(member, ASK, 0);
        if (member.asks) return;
      } else if (isCurrent || isNothing) return;
      else {
        if (progress.sent < 0) {
          member.snapshotAt = now;
          member.isAsked = false;
        }
        const item = this.#own.next(progress);
        if (!this.#send(member, item, progress.isWhole ? progress.sent : 0)) return;
      }
    }
  }

  /** Beyond the link's mark, since few are in flight. @returns whether the link has it; else it is tried again */
  #send(member: RouteMember, item: Buffer, version: number): boolean {
    const { id } = member;
    if (this.#links.send(id, MessageKind.ROUTES, item, QUEUED) !== "sent") {
      member.restart();
      this.#flushAt = Math.min(this.#flushAt, this.#timer.now() + 1_000);
      return false;
    }
    const { epoch } = member;
    member.session = this.#links.session(id);
    member.inFlight += 1;
    this.#links.onDelivered(id, (isDelivered) => {
      if (this.#closed || epoch !== member.epoch) return;
      if (isDelivered) {
        member.inFlight -= 1;
        member.have = Math.max(member.have, version);
        this.#onProgress();
        this.#feed(member);
      } else {
        member.restart();
        this.#flushSoon(this.#timer.now());
      }
      this.#timer.update();
    });
    return true;
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
    const reason = this.#receive(from, item);
    if (reason !== undefined) this.#refuse(reason);
    this.#timer.update();
    return reason;
  }

  #refuse(reason: string): void {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1;
  }

  #receive(from: string, item: Buffer): string | undefined {
    const member = this.#members.get(from);
    if (member === undefined) return "stranger";
    const message = decodeRouteItem(item);
    if (message === undefined) return "malformed";
    if (message === "ask") {
      // A list that is on its way is the answer; if its beginning was forgotten, its later parts make the reader ask.
      if (member.progress.sent < 0 || member.progress.isWhole) member.isAsked = true;
      this.#feed(member);
      return undefined;
    }
    const taken = member.take(message);
    if (taken === "sequence") this.#ask(from);
    if (typeof taken === "string") return taken;
    this.#changed();
    if (!member.isReading) this.#settled(member.id);
    if (taken.length > 0) this.#effects.onWanted(from, taken);
    return undefined;
  }

  /** Filters whose retained values a member wants. */
  wantedBy(id: string): Iterable<string> {
    return this.#members.get(id)?.wanted ?? [];
  }

  stats(): MessageRoutesStats {
    const { filters, bytes: ownBytes } = this.#own;
    const { size, filterBytes } = this.table;
    const members = [...this.#members.values()];
    return {
      own: { filters: filters.size, bytes: ownBytes },
      routes: size,
      bytes: filterBytes,
      nodes: members.length,
      snapshots: members.filter(({ isAlive, progress }) => isAlive && progress.sent >= 0 && !progress.isWhole)
        .length,
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
