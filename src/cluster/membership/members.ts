/**
 * The tables of a bus: members, live and dead; who keeps which name; tombstones of those that were forgotten; removals.
 * They keep themselves within their bounds, and the digest equal to what they hold.
 */
import { MAX_MEMBERS, MAX_REMOVALS, MAX_TOMBSTONES } from "../bounds.js";
import { type Details, NO_DETAILS } from "../details.js";
import { compareIncarnations, keepsName, shortId } from "../identity.js";
import { ALIVE_DRAINING, LEVEL, Update } from "../wire/packets.js";
import { Digest, idHash, memberHash, removalHash } from "./digest.js";
import type { Suspicion } from "./suspicion.js";

export const MemberState = { ALIVE: 1, SUSPECT: 2, DEAD: 3, LEFT: 4 } as const;
export type MemberState = (typeof MemberState)[keyof typeof MemberState];

/** A member, as the rules have it. What a program sees of it is read only. */
export class Member {
  readonly id: string;
  readonly short: number;
  name: string;
  address: string;
  start: number;
  count: number;
  /** The first start of its process: `start` is later once it has rejoined after a split. */
  processStart: number;
  state: MemberState;
  /** Of its last alive (packets.ts), those of later versions too. */
  flags: number;
  /** The level of packets and updates that it knows (packets.ts). */
  level: number;
  /** Whether another node keeps its name. */
  yields: boolean;
  details: Details;
  /** The version of the details that its last alive announced; they come apart. */
  announced: number;
  /** The rules' time of its last sign of life, and of its last change of state. */
  lastHeard: number;
  changedAt: number;
  suspicion: Suspicion | undefined;
  /** Why it is dead; 0: it is not. */
  reason: number;
  /** @internal Given up while this node heard nobody: an alive of the same incarnation is believed. */
  doubtful: boolean;
  /** @internal Whether its next ping carries an accusation, for it to refute. */
  accused: boolean;
  /** It is heard, and does not receive what this node sends. It counts as reached again when it answers, not before. */
  unreached: boolean;
  /** @internal Whether it waits to be probed out of turn. */
  urgent: boolean;
  /** @internal Whether its turn in this round of probes is still to come. */
  inRound: boolean;
  /** @internal Until when a sign of life is expected of it; infinite: none is. */
  expectedBy: number;
  /** @internal */
  readonly idHash: number;
  /** @internal What it adds to the digest; 0: nothing. */
  hash: number;
  /** @internal Its place among the live or the dead. */
  index: number;

  constructor(id: string, name: string, address: string, start: number, count: number, now: number) {
    this.id = id;
    this.short = shortId(id);
    this.name = name;
    this.address = address;
    this.start = start;
    this.count = count;
    this.processStart = start;
    this.state = MemberState.ALIVE;
    this.flags = 0;
    this.level = LEVEL;
    this.yields = false;
    this.details = NO_DETAILS;
    this.announced = 0;
    this.lastHeard = now;
    this.changedAt = now;
    this.suspicion = undefined;
    this.reason = 0;
    this.doubtful = false;
    this.accused = false;
    this.unreached = false;
    this.urgent = false;
    this.inRound = false;
    this.expectedBy = Number.POSITIVE_INFINITY;
    this.idHash = idHash(id);
    this.hash = 0;
    this.index = -1;
  }

  /** Whether it takes nothing new. */
  get draining(): boolean {
    return (this.flags & ALIVE_DRAINING) !== 0;
  }

  get isLive(): boolean {
    return this.state <= MemberState.SUSPECT;
  }

  /** Whether its details are those that its last alive announced. */
  get hasDetails(): boolean {
    return this.details.version >= this.announced;
  }
}

/** What a member said last of being there, to be passed on as it was, also where its details have not come here. */
export function aliveOf(member: Member): Update {
  const { id, start, count, name, address, flags, details, announced, level, processStart } = member;
  const version = Math.max(details.version, announced);
  return Update.alive({ id, start, count, name, address, flags, version, level, processStart });
}

/** What is left of a member that was forgotten. */
export interface Tombstone {
  readonly start: number;
  readonly count: number;
  readonly address: string;
  /** It left by itself: nobody dials it. */
  readonly left: boolean;
}

/** An operator's word about a node. */
export interface Removal {
  readonly time: number;
  readonly counter: number;
  readonly removed: boolean;
  /** Where the node was last, for it to learn that it is admitted; empty: not known here. */
  address: string;
}

export class Members {
  readonly digest = new Digest();
  /** All but this node. Unordered; a place is filled by the last. */
  readonly live: Member[] = [];
  readonly dead: Member[] = [];
  readonly self: Member;
  readonly #byId = new Map<string, Member>();
  readonly #names = new Map<string, Member>();
  readonly #tombstones = new Map<string, Tombstone>();
  /** Of those that are dialled. */
  readonly #addresses: string[] = [];
  readonly #removals = new Map<string, Removal>();

  constructor(self: Member) {
    this.self = self;
    this.#names.set(self.name, self);
    this.rehash(self);
  }

  /** Live members, this node included. */
  get size(): number {
    return this.live.length + 1;
  }

  /** Whether there is no place for another one. */
  get full(): boolean {
    return this.#byId.size >= MAX_MEMBERS;
  }

  get tombstoneAddresses(): readonly string[] {
    return this.#addresses;
  }

  get removals(): ReadonlyMap<string, Removal> {
    return this.#removals;
  }

  get(id: string): Member | undefined {
    return this.#byId.get(id);
  }

  /** The member that keeps a name, this node included. */
  named(name: string): Member | undefined {
    return this.#names.get(name);
  }

  tombstone(id: string): Tombstone | undefined {
    return this.#tombstones.get(id);
  }

  isRemoved(id: string): boolean {
    return this.#removals.size > 0 && this.#removals.get(id)?.removed === true;
  }

  /** A new live member. */
  add(member: Member): void {
    const tombstone = this.#tombstones.get(member.id);
    if (tombstone !== undefined) this.#dropTombstone(member.id, tombstone);
    this.#byId.set(member.id, member);
    this.#place(this.live, member);
    this.rehash(member);
  }

  /** Moves a member to where its state belongs. */
  moved(member: Member): void {
    const [from, to] = member.isLive ? [this.dead, this.live] : [this.live, this.dead];
    if (from[member.index] === member) {
      this.#unplace(from, member);
      this.#place(to, member);
    }
    this.rehash(member);
  }

  /** Keeps the digest equal to the member; to be called after its incarnation, details or state changed. */
  rehash(member: Member): void {
    if (member.hash !== 0) this.digest.toggle(member.short, member.hash);
    member.hash = member.isLive
      ? memberHash(member.idHash, member.start, member.count, member.details.version)
      : 0;
    if (member.hash !== 0) this.digest.toggle(member.short, member.hash);
  }

  /** Takes a member out; its tombstone stays if `buried`. */
  delete(member: Member, buried: boolean): void {
    if (!this.#byId.delete(member.id)) return;
    this.#unplace(member.isLive ? this.live : this.dead, member);
    if (member.hash !== 0) this.digest.toggle(member.short, member.hash);
    member.hash = 0;
    if (!buried) return;
    const left = member.state === MemberState.LEFT;
    this.bury(member.id, { start: member.start, count: member.count, address: member.address, left });
  }

  bury(id: string, tombstone: Tombstone): void {
    const before = this.#tombstones.get(id);
    if (before !== undefined) {
      if (compareIncarnations(tombstone.start, tombstone.count, before.start, before.count) <= 0) return;
      this.#dropTombstone(id, before);
    }
    for (const [oldest, each] of this.#tombstones) {
      if (this.#tombstones.size < MAX_TOMBSTONES) break;
      this.#dropTombstone(oldest, each);
    }
    this.#tombstones.set(id, tombstone);
    if (!tombstone.left && tombstone.address !== "") this.#addresses.push(tombstone.address);
  }

  /** A removal or an admission. @returns whether it is newer than what was known */
  setRemoval(id: string, removal: Removal): boolean {
    const before = this.#removals.get(id);
    if (
      before !== undefined &&
      compareIncarnations(removal.time, removal.counter, before.time, before.counter) <= 0
    )
      return false;
    if (before === undefined && this.#removals.size >= MAX_REMOVALS) {
      const [oldest] = this.#removals.keys();
      if (oldest !== undefined) this.#dropRemoval(oldest);
    }
    this.overrule(id, removal);
    return true;
  }

  /** A removal or an admission counts, whatever was known. */
  overrule(id: string, removal: Removal): void {
    this.#dropRemoval(id);
    this.#removals.set(id, removal);
    this.#toggleRemoval(id, removal);
  }

  /**
   * Says that a live member has its name, or has it no more.
   *
   * @returns the member that lost to another one: `undefined` when there is no conflict
   */
  claim(member: Member): { readonly keeps: Member; readonly yields: Member } | undefined {
    const holder = this.#names.get(member.name);
    if (holder === undefined || holder === member) {
      this.#names.set(member.name, member);
      member.yields = false;
      return undefined;
    }
    const [keeps, yields] = keepsName(member, holder) ? [member, holder] : [holder, member];
    this.#names.set(member.name, keeps);
    keeps.yields = false;
    yields.yields = true;
    return { keeps, yields };
  }

  /** A member that is not live any more gives its name free. @returns who has it now, if anybody who had yielded */
  release(member: Member): Member | undefined {
    if (this.#names.get(member.name) !== member) return undefined;
    this.#names.delete(member.name);
    let next: Member | undefined;
    for (const each of [this.self, ...this.live]) {
      if (each === member || each.name !== member.name) continue;
      if (next === undefined || keepsName(each, next)) next = each;
    }
    if (next !== undefined) {
      this.#names.set(next.name, next);
      next.yields = false;
    }
    return next;
  }

  #place(list: Member[], member: Member): void {
    member.index = list.length;
    list.push(member);
  }

  #unplace(list: Member[], member: Member): void {
    const last = list.pop();
    if (last !== undefined && last !== member) {
      list[member.index] = last;
      last.index = member.index;
    }
    member.index = -1;
  }

  #dropTombstone(id: string, tombstone: Tombstone): void {
    this.#tombstones.delete(id);
    const at = this.#addresses.indexOf(tombstone.address);
    if (at < 0) return;
    const last = this.#addresses.pop() as string;
    if (at < this.#addresses.length) this.#addresses[at] = last;
  }

  #dropRemoval(id: string): void {
    const removal = this.#removals.get(id);
    if (removal === undefined) return;
    this.#removals.delete(id);
    this.#toggleRemoval(id, removal);
  }

  #toggleRemoval(id: string, { time, counter, removed }: Removal): void {
    this.digest.toggle(shortId(id), removalHash(idHash(id), time, counter, removed));
  }
}
