/**
 * Fetching another node's routes: whom to ask, how much at a time, and what to make of the answers, late ones too. No socket, no
 * timer, no clock. route-replication.ts knows the members, and who is ahead of whom.
 *
 *   want ──> waits for a place ──> WANT ──BLOCK, again──> waits for its time (route-pace.ts) ──> WANT … ──BLOCK, end, or NONE──> over
 *                                   │ no answer in time: another one is asked, after a back-off; a late answer is taken
 *                                   │ too long in all for what came: the node itself is asked, and nobody else for a while
 *
 * A peer that is asked for another node's routes may give a block just in time again and again, and so hold them up. So the time that others take
 * is bounded in all, and gets longer with each block alone: over all pulls of one copy, since two peers may take turns.
 */
import {
  MAX_ROUTE_PULLS,
  MAX_ROUTE_PULLS_OF_ONE,
  ROUTE_BURST,
  ROUTE_FLUSH,
  ROUTE_ITSELF,
  ROUTE_PATIENCE,
  ROUTE_PATIENCE_BLOCK,
} from "./bounds.js";
import type { SendResult } from "./parts.js";
import { RouteBackoff } from "./route-backoff.js";
import type { Pull, Replica, RouteLimits } from "./route-replica.js";
import { type Block, BlockKind, encodeWant, type RouteItem, type RouteMessage } from "./route-wire.js";

/** ms between two times that a node is asked for its routes since others claim that there are more. */
const ASK_ITSELF_PAUSE = 1_000;
const NEVER = Number.POSITIVE_INFINITY;

export interface RoutePullsEffects {
  send(to: string, item: Uint8Array): SendResult;
  /** Of another node; `undefined`: it is no member. */
  replicaOf(id: string): Replica | undefined;
  /** Whether nodes ask each node itself, since they are few. */
  isDirect(): boolean;
  /** Whether it handed on what was forged. */
  isDistrusted(id: string): boolean;
  /** @returns why a block that a peer gave is not taken; `undefined`: it is its node's */
  verify(now: number, from: string, block: Block): string | undefined;
  /** A change that is next. */
  change(replica: Replica, block: Block): void;
  /** A copy has another version than before. */
  advanced(now: number, replica: Replica): void;
  /** The interest of a member is known; where a copy is as late as any that was heard of. */
  settled(id: string): void;
  settleIfKnown(replica: Replica): void;
  /** What leads to whom is other than before. */
  changed(): void;
  /** `look` is to be called by then. */
  lookNow(at: number): void;
  /** Something is refused, or late. */
  count(reason: string): void;
}

export class RoutePulls {
  readonly #effects: RoutePullsEffects;
  readonly #limits: RouteLimits;
  /** Replicas that are being fetched, and those that wait until another one is. */
  readonly #pulls = new Set<Replica>();
  readonly #waiting = new Set<Replica>();
  /** Of those that are being fetched, those of which nothing is asked until it is their time. */
  readonly #paused = new Set<Replica>();
  /** Peers that did not answer in time. */
  readonly #backoff = new RouteBackoff();

  constructor(limits: RouteLimits, effects: RoutePullsEffects) {
    this.#limits = limits;
    this.#effects = effects;
  }

  /** Replicas that are being fetched. */
  get size(): number {
    return this.#pulls.size;
  }

  /** Whether `look` has something to wait for. */
  get isBusy(): boolean {
    return this.#pulls.size + this.#waiting.size > 0;
  }

  /** When `askDue` has something to do. */
  nextAsk(): number {
    let next = NEVER;
    for (const { pace } of this.#paused) next = Math.min(next, pace.freeAt);
    return next;
  }

  /** Asks for what follows, where it is time. */
  askDue(now: number): void {
    for (const replica of this.#paused)
      if (now >= replica.pace.freeAt) this.#ask(now, replica, replica.pull as Pull);
  }

  look(now: number): void {
    for (const replica of [...this.#pulls])
      if (now >= (replica.pull as Pull).deadline) this.#onPullTimeout(now, replica);
    for (const replica of [...this.#waiting]) this.#pullNext(now, replica);
  }

  /** What is kept of answers that did not come, for some time. */
  expire(now: number): void {
    this.#backoff.expire(now);
  }

  /** A member answers nothing any more. */
  onLeave(now: number, id: string): void {
    this.#backoff.forget(id);
    for (const replica of [...this.#pulls]) if (replica.pull?.server === id) this.#endPull(now, replica);
  }

  /** Nothing of it is wanted any more. */
  forget(now: number, replica: Replica): void {
    this.#endPull(now, replica);
    this.#waiting.delete(replica);
  }

  /** Asks a node for its own routes, and again where it has not answered. */
  askItself(now: number, replica: Replica): void {
    const { id, pull } = replica;
    if (pull === undefined) {
      if (this.#mayPull(id, replica)) this.#pull(now, replica, id);
    } else if (pull.server === id && pull.set === undefined && !this.#paused.has(replica)) {
      replica.askedAt = now;
      this.#ask(now, replica, pull);
    }
  }

  // --- Asking --------------------------------------------------------------------------------------------------------

  /** A peer has a later version of a node's routes. */
  want(now: number, replica: Replica, from: string, version: number): void {
    const { claim } = replica;
    // The node itself is asked in preference.
    if (claim === undefined || claim.version < version || from === replica.id)
      replica.claim = { from, version };
    if (replica.pull === undefined) this.#pullNext(now, replica);
  }

  #pullNext(now: number, replica: Replica): void {
    const { claim } = replica;
    if (claim === undefined || claim.version <= replica.version || replica.pull !== undefined) {
      this.#waiting.delete(replica);
      if (replica.pull === undefined) replica.claim = undefined;
      return;
    }
    // What was read of a large snapshot has to be completed by who made it.
    const asksItself =
      replica.exactFrom > replica.version ||
      now < replica.itselfUntil ||
      this.#backoff.isBackedOff(now, claim.from) ||
      this.#effects.isDistrusted(claim.from);
    const server = asksItself ? replica.id : claim.from;
    const isTooSoon =
      (server !== claim.from && now - replica.askedAt < ASK_ITSELF_PAUSE) ||
      this.#backoff.isBackedOff(now, server);
    if (isTooSoon || !this.#mayPull(server, replica)) {
      this.#waiting.add(replica);
      return;
    }
    this.#waiting.delete(replica);
    this.#pull(now, replica, server);
  }

  #mayPull(server: string, replica: Replica): boolean {
    // A node's own statements never wait for others'.
    if (server === replica.id && this.#pulls.size < 2 * MAX_ROUTE_PULLS) return true;
    if (this.#pulls.size >= MAX_ROUTE_PULLS) return false;
    let count = 0;
    for (const { pull } of this.#pulls) if (pull?.server === server) count += 1;
    return count < MAX_ROUTE_PULLS_OF_ONE;
  }

  #pull(now: number, replica: Replica, server: string): void {
    replica.claim = undefined;
    if (server === replica.id) replica.askedAt = now;
    this.#ask(now, replica, this.#beginPull(now, replica, server));
  }

  #beginPull(now: number, replica: Replica, server: string): Pull {
    if (server !== replica.id) {
      if (now - replica.othersAt >= ROUTE_ITSELF) replica.patience = ROUTE_PATIENCE;
      replica.othersAt = now;
    }
    const isItsOwn = server === replica.id;
    const pull: Pull = {
      server,
      isHurried: !isItsOwn && replica.patience < this.#backoff.timeout(server, isItsOwn),
      base: 0,
      set: undefined,
      next: 0,
      count: 0,
      bytes: 0,
      askedAt: now,
      had: replica.version,
      left: ROUTE_BURST,
      since: now,
      deadline: this.#deadline(now, replica, server),
    };
    replica.pull = pull;
    this.#pulls.add(replica);
    return pull;
  }

  #deadline(now: number, replica: Replica, server: string): number {
    const timeout = this.#backoff.timeout(server, server === replica.id);
    return now + (server === replica.id ? timeout : Math.max(0, Math.min(timeout, replica.patience)));
  }

  /** What is asked of another node than the one whose routes they are has taken until now. @returns whether that is too long */
  #isTooSlow(now: number, replica: Replica, pull: Pull): boolean {
    if (pull.server === replica.id) return false;
    replica.patience -= now - pull.since;
    replica.othersAt = now;
    pull.since = now;
    if (replica.patience > 0) return false;
    replica.patience = ROUTE_PATIENCE;
    replica.itselfUntil = now + ROUTE_ITSELF;
    return true;
  }

  /** What follows, now or when the pace allows it. */
  #askInTime(now: number, replica: Replica, pull: Pull): void {
    if (now >= replica.pace.freeAt) {
      this.#ask(now, replica, pull);
      return;
    }
    this.#paused.add(replica);
    pull.left = 0;
    pull.deadline = NEVER;
  }

  #ask(now: number, replica: Replica, pull: Pull): void {
    this.#paused.delete(replica);
    pull.askedAt = now;
    pull.since = now;
    pull.had = replica.version;
    // A node of an earlier version sends as many as it may, whatever is asked for.
    pull.left = ROUTE_BURST;
    pull.deadline = this.#deadline(now, replica, pull.server);
    const { id, life, pace } = replica;
    const version = pull.set === undefined ? replica.version : pull.base;
    const want = encodeWant(id, life, version, pull.next, pace.blocks(now));
    const result = this.#effects.send(pull.server, want);
    if (result === "unreachable" || result === "too-large") this.#endPull(now, replica);
  }

  #endPull(now: number, replica: Replica): void {
    if (replica.pull === undefined) return;
    this.#pulls.delete(replica);
    this.#paused.delete(replica);
    replica.endPull();
    this.#effects.changed();
    this.#effects.settleIfKnown(replica);
    // The next one that waits gets the place at the next look, and so does a claim that came meanwhile.
    if (replica.claim !== undefined && this.#effects.replicaOf(replica.id) === replica)
      this.#waiting.add(replica);
    this.#effects.lookNow(now + ROUTE_FLUSH);
  }

  #onPullTimeout(now: number, replica: Replica): void {
    const pull = replica.pull as Pull;
    const { server, isHurried } = pull;
    const { id, life, version } = replica;
    this.#isTooSlow(now, replica, pull);
    this.#effects.count("timeout");
    if (this.#backoff.onTimeout(now, server, id, life, isHurried))
      replica.claim ??= { from: server, version: version + 1 };
    this.#endPull(now, replica);
  }

  onNone(now: number, from: string, { id, life }: { id: string; life: number }): string | undefined {
    const replica = this.#effects.replicaOf(id);
    if (replica?.life !== life) return "unasked";
    const { pull } = replica;
    if (pull?.server !== from) return this.#onLateNone(now, from, replica);
    this.#backoff.onAnswer(now, from);
    const wasReading = pull.set !== undefined;
    this.#endPull(now, replica);
    // The node itself has everything; of a snapshot that it has given up it makes another one.
    if (from !== id || wasReading) this.want(now, replica, id, replica.version + 1);
    else this.#effects.settled(id);
    return undefined;
  }

  onBlock(
    now: number,
    from: string,
    { again, end, block }: Extract<RouteMessage, { type: typeof RouteItem.BLOCK }>,
  ): string | undefined {
    const replica = this.#effects.replicaOf(block.id);
    if (replica?.life !== block.life) return "unasked";
    let { pull } = replica;
    if (pull?.server !== from) {
      if (!this.#backoff.isAwaited(now, from, block.id, block.life)) return "unasked";
      if (again || end) this.#backoff.endLate(from, block.id);
      // It came by another way meanwhile.
      if (block.version <= replica.version) return this.#onLateAnswer(now, from);
      if (!this.#mayResume(now, from, replica, block)) return this.#onLateBlock(now, from, replica, block);
      pull = this.#beginPull(now, replica, from);
    }
    // Not worth a look at its signature: nothing would come of it.
    if (isHere(replica, pull, block)) {
      if (again || end) this.#onAnswerHere(now, replica, pull, end);
      return undefined;
    }
    // More than was asked for would not keep to the pace.
    if (pull.left === 0) return "unasked";
    pull.left -= 1;
    this.#backoff.onAnswer(now, from);
    const reason = this.#effects.verify(now, from, block) ?? this.#takeInTime(now, replica, pull, block);
    if (reason !== undefined) {
      this.#endPull(now, replica);
      if (from !== block.id) this.want(now, replica, block.id, replica.version + 1);
      return reason;
    }
    const isTooSlow = this.#isTooSlow(now, replica, pull);
    if (!isTooSlow) replica.patience = Math.min(ROUTE_PATIENCE, replica.patience + ROUTE_PATIENCE_BLOCK);
    pull.deadline = this.#deadline(now, replica, from);
    if (pull.set === undefined) this.#effects.advanced(now, replica);
    if (isTooSlow && !end) this.#giveUp(now, replica, pull);
    else if (end) this.#endPull(now, replica);
    else if (again) {
      replica.pace.onAnswer(now - pull.askedAt);
      this.#askInTime(now, replica, pull);
    }
    return undefined;
  }

  /** What another node gives of a node's routes comes too slowly. The node itself has them; what is on its way counts as late. */
  #giveUp(now: number, replica: Replica, { server, isHurried }: Pull): void {
    const { id, life, version } = replica;
    this.#effects.count("slow");
    this.#backoff.onTimeout(now, server, id, life, isHurried);
    this.#endPull(now, replica);
    this.want(now, replica, id, version + 1);
  }

  /**
   * The last block of an answer is here already. Where the copy has another version than when it was asked for, that came by another way
   * meanwhile. Else it is an answer to an earlier question, or to none: that of this one is waited for, and no longer than before.
   */
  #onAnswerHere(now: number, replica: Replica, pull: Pull, end: boolean): void {
    if (replica.version === pull.had || this.#paused.has(replica)) return;
    this.#backoff.onAnswer(now, pull.server);
    const isTooSlow = this.#isTooSlow(now, replica, pull);
    if (end) {
      this.#endPull(now, replica);
      return;
    }
    if (isTooSlow) {
      this.#giveUp(now, replica, pull);
      return;
    }
    replica.pace.onAnswer(now - pull.askedAt);
    this.#askInTime(now, replica, pull);
  }

  // --- Answers to questions that timed out -----------------------------------------------------------------------------

  #onLateAnswer(now: number, from: string): undefined {
    this.#backoff.onAnswer(now, from);
    return undefined;
  }

  /** Whether what a late answer begins can be fetched as if it had been in time. */
  #mayResume(now: number, from: string, replica: Replica, block: Block): boolean {
    return (
      replica.pull === undefined &&
      (from === replica.id || now >= replica.itselfUntil) &&
      (block.kind === BlockKind.CHANGE || block.part === 0) &&
      (from === replica.id || replica.exactFrom <= replica.version) &&
      this.#mayPull(from, replica)
    );
  }

  /** Another node is asked meanwhile, or as many as may be: a change that is next is taken, as from a PUSH. */
  #onLateBlock(now: number, from: string, replica: Replica, block: Block): string | undefined {
    const isNext =
      block.kind === BlockKind.CHANGE &&
      block.version === replica.version + 1 &&
      replica.pull?.set === undefined &&
      (from === replica.id || replica.exactFrom <= replica.version);
    if (!isNext) return "late";
    const reason = this.#effects.verify(now, from, block);
    if (reason !== undefined) return reason;
    this.#effects.change(replica, block);
    this.#effects.settleIfKnown(replica);
    this.#effects.advanced(now, replica);
    return this.#onLateAnswer(now, from);
  }

  #onLateNone(now: number, from: string, replica: Replica): string | undefined {
    const { id, life, claim } = replica;
    if (!this.#backoff.isAwaited(now, from, id, life)) return "unasked";
    this.#backoff.endLate(from, id);
    this.#backoff.onAnswer(now, from);
    if (replica.pull !== undefined) return undefined;
    if (from !== id) this.want(now, replica, id, replica.version + 1);
    else {
      // The node itself has nothing more.
      if (claim?.from === id) replica.claim = undefined;
      this.#effects.settled(id);
    }
    return undefined;
  }

  // --- What is fetched -------------------------------------------------------------------------------------------------

  /** A block that is its node's own: to read it takes time of this one. */
  #takeInTime(now: number, replica: Replica, pull: Pull, block: Block): string | undefined {
    replica.pace.spend(now, block.count, this.#pulls.size);
    return this.#take(replica, pull, block);
  }

  /** @returns why a block does not fit what is being fetched */
  #take(replica: Replica, pull: Pull, block: Block): string | undefined {
    if (block.kind === BlockKind.CHANGE) {
      if (pull.set !== undefined || block.version !== replica.version + 1) return "sequence";
      this.#effects.change(replica, block);
      return undefined;
    }
    if (pull.set === undefined) {
      if (block.part !== 0 || block.version <= replica.version) return "sequence";
      replica.beginSnapshot(pull, block.version);
    }
    if (block.version !== pull.base || block.part !== pull.next || block.exact < block.version)
      return "sequence";
    // One that never ends, or adds nothing.
    if (block.kind === BlockKind.PART && block.count === 0) return "snapshot";
    if (pull.count > 2 * this.#limits.nodeRoutes || pull.bytes > 4 * this.#limits.nodeBytes)
      return "snapshot";
    if (!block.onlyAdds) return "snapshot";
    replica.part(pull, block, !this.#effects.isDirect() && block.exact === block.version);
    this.#effects.changed();
    return undefined;
  }
}

/** Whether a block came before. */
function isHere({ version }: Replica, { set, next }: Pull, block: Block): boolean {
  if (block.kind === BlockKind.CHANGE) return set === undefined && block.version <= version;
  return set !== undefined && block.part < next;
}
