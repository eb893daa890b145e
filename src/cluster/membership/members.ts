/** Tables of members, names, tombstones and removals, with their bounds, suspicions and the digest. */
import { BUCKETS, LatestMap, MAX_MEMBERS, MAX_REMOVALS } from "../bounds.js";
import { type Details, NO_DETAILS } from "../details.js";
import { compareIncarnations, type Incarnation, keepsName, shortId } from "../identity.js";
import type { Profile } from "../profiles.js";
import { type AliveFields, AliveFlag, Update } from "../wire/packets.js";

export const MemberState = { ALIVE: 1, SUSPECT: 2, DEAD: 3, LEFT: 4 } as const;
export type MemberState = (typeof MemberState)[keyof typeof MemberState];

export class Member {
  readonly id: string;
  readonly short: number;
  name: string;
  address: string;
  start: number;
  count: number;
  /** First start of its process. `start` is later after a return from the minority side of a partition. */
  processStart: number;
  state: MemberState = MemberState.ALIVE;
  flags: number;
  details: Details = NO_DETAILS;
  /** Version of the details in its last alive. */
  announced: number;
  /** Monotonic times. */
  lastHeard: number;
  changedAt: number;
  suspicion: Suspicion | undefined = undefined;
  /** Death reason; 0: not dead. */
  reason = 0;
  /** @internal Declared dead while this node heard no one, so an alive of the same incarnation is accepted. */
  doubtful = false;
  /** @internal Its next ping carries an accusation. */
  accused = false;
  /** Heard, but does not receive this node's packets. */
  isOneWay = false;
  /** @internal Its last ack came over a stream: datagrams may not reach it. */
  overStream = false;
  /** @internal Its turn in this probe round is still to come. */
  inRound = false;
  /** @internal When a sign of life is expected; infinite: not expected. */
  expectedBy = Number.POSITIVE_INFINITY;
  /** @internal */
  readonly idHash: number;
  /** @internal Its hash in the digest; 0: none. */
  hash = 0;
  /** @internal */
  index = -1;

  constructor(alive: AliveFields, now: number) {
    const { id, name, address, start, count, flags = 0, version = 0, processStart = start } = alive;
    this.id = id;
    this.short = shortId(id);
    this.name = name;
    this.address = address;
    this.start = start;
    this.count = count;
    this.flags = flags;
    this.announced = version;
    this.processStart = processStart;
    this.lastHeard = now;
    this.changedAt = now;
    this.idHash = idHash(id);
  }

  get draining(): boolean {
    return (this.flags & AliveFlag.DRAINING) !== 0;
  }

  get isLive(): boolean {
    return this.state <= MemberState.SUSPECT;
  }

  get hasDetails(): boolean {
    return this.details.version >= this.announced;
  }
}

export function aliveOf(member: Member): Update {
  const { id, start, count, name, address, flags, details, announced, processStart } = member;
  const version = Math.max(details.version, announced);
  return Update.alive({ id, start, count, name, address, flags, version, processStart });
}

export interface Tombstone extends Incarnation {
  readonly address: string;
  /** Whether it left by itself, and is not redialled. */
  readonly left: boolean;
}

/** Start and count are its version. */
export interface Removal extends Incarnation {
  readonly removed: boolean;
  /** To inform the node of its admission; empty: unknown. */
  address: string;
}

export class Members {
  readonly digest = new Digest();
  /** All but this node, unordered. */
  readonly live: Member[] = [];
  readonly dead: Member[] = [];
  readonly self: Member;
  readonly #byId = new Map<string, Member>();
  /** So that old gossip does not bring forgotten nodes back. */
  readonly tombstones = new LatestMap<string, Tombstone>(4_096);
  readonly removals = new Map<string, Removal>();

  constructor(self: Member) {
    this.self = self;
    this.rehash(self);
  }

  get size(): number {
    return this.live.length + 1;
  }

  get full(): boolean {
    return this.#byId.size >= MAX_MEMBERS;
  }

  /** Of forgotten nodes that did not leave. */
  get tombstoneAddresses(): readonly string[] {
    const lost = [...this.tombstones.values()].filter(({ left, address }) => !left && address !== "");
    return lost.map(({ address }) => address);
  }

  get(id: string): Member | undefined {
    return this.#byId.get(id);
  }

  /** This node or a live member. Of several, the one that started first: no later node takes over its name. */
  named(name: string): Member | undefined {
    let first = this.self.name === name ? this.self : undefined;
    for (const member of this.live)
      if (member.name === name && (first === undefined || keepsName(member, first))) first = member;
    return first;
  }

  isRemoved(id: string): boolean {
    return this.removals.size > 0 && this.removals.get(id)?.removed === true;
  }

  add(member: Member): void {
    this.tombstones.delete(member.id);
    this.#byId.set(member.id, member);
    this.#place(this.live, member);
    this.rehash(member);
  }

  moved(member: Member): void {
    const [from, to] = member.isLive ? [this.dead, this.live] : [this.live, this.dead];
    if (from[member.index] === member) {
      this.#unplace(from, member);
      this.#place(to, member);
    }
    this.rehash(member);
  }

  rehash(member: Member): void {
    if (member.hash !== 0) this.digest.toggle(member.short, member.hash);
    member.hash = member.isLive
      ? memberHash(member.idHash, member.start, member.count, member.details.version)
      : 0;
    if (member.hash !== 0) this.digest.toggle(member.short, member.hash);
  }

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
    const before = this.tombstones.get(id);
    if (before === undefined || compareIncarnations(tombstone, before) > 0)
      this.tombstones.set(id, tombstone);
  }

  /** @returns whether it was newer than the stored one */
  setRemoval(id: string, removal: Removal): boolean {
    const before = this.removals.get(id);
    if (before !== undefined && compareIncarnations(removal, before) <= 0) return false;
    if (before === undefined && this.removals.size >= MAX_REMOVALS) {
      const [oldest] = this.removals.keys();
      if (oldest !== undefined) this.#dropRemoval(oldest);
    }
    this.overrule(id, removal);
    return true;
  }

  overrule(id: string, removal: Removal): void {
    this.#dropRemoval(id);
    this.removals.set(id, removal);
    this.#toggleRemoval(id, removal);
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

  #dropRemoval(id: string): void {
    const removal = this.removals.get(id);
    if (removal === undefined) return;
    this.removals.delete(id);
    this.#toggleRemoval(id, removal);
  }

  #toggleRemoval(id: string, { start, count, removed }: Removal): void {
    this.digest.toggle(shortId(id), removalHash(idHash(id), start, count, removed));
  }
}

// --- Suspicion -------------------------------------------------------------------------------------------------------

/**
 * Suspicion timeout: shorter with more independent accusers (Lifeguard). A failed probe (prober.ts) or another member's
 * word makes a member suspect (life-cycle.ts).
 *
 *   further accusers            0 ───────────────── wanted
 *   time                        max ──logarithmic── min
 */
export class Suspicion {
  since: number;
  readonly min: number;
  readonly #max: number;
  /** Short ids, first accuser first. */
  readonly accusers: number[];
  accusedAt = Number.NEGATIVE_INFINITY;
  deadline = 0;

  /** @param size of the cluster, including this node */
  constructor(profile: Profile, size: number, now: number, accusers: readonly number[]) {
    this.since = now;
    const intervals = profile.suspicionBase + profile.suspicionStep * Math.log10(Math.max(1, size));
    this.min = intervals * profile.probeInterval;
    this.#max = this.min * profile.suspicionMax;
    this.accusers = [...accusers];
  }

  /** @returns whether an accuser is new and still counts */
  accuse(accusers: readonly number[], wanted: number): boolean {
    let added = false;
    for (const accuser of accusers) {
      if (this.accusers.length > wanted) break;
      if (this.accusers.includes(accuser)) continue;
      this.accusers.push(accuser);
      added = true;
    }
    return added;
  }

  /** @param wanted possible further accusers, at most the profile's */
  update(wanted: number): void {
    const share = wanted === 0 ? 1 : Math.min(1, Math.log(this.accusers.length) / Math.log(wanted + 1));
    this.deadline = this.since + this.#max - share * (this.#max - this.min);
  }
}

// --- Digest ----------------------------------------------------------------------------------------------------------

export function mix(hash: number, value: number): number {
  let mixed = Math.imul(hash ^ value, 0x85eb_ca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}

/** From the id's first two words. */
export function idHash(id: string): number {
  return mix(mix(0x7368_6f61, Number.parseInt(id.slice(0, 8), 16)), Number.parseInt(id.slice(8, 16), 16));
}

export function memberHash(hash: number, start: number, count: number, version: number): number {
  return mix(mix(mix(mix(hash, start | 0), Math.floor(start / 2 ** 32)), count), version) | 1;
}

/** Never equal to a member's. */
export function removalHash(hash: number, time: number, counter: number, removed: boolean): number {
  return mix(mix(mix(mix(hash, removed ? 3 : 5), time | 0), Math.floor(time / 2 ** 32)), counter) & ~1;
}

/**
 * Hash of a membership view: XOR over all live members and removals, so the cost of a change does not depend on the
 * size. The 64 buckets locate differences (docs/spec/cluster.md).
 */
class Digest {
  total = 0;
  readonly #buckets = new Uint32Array(BUCKETS);

  /** Adds a hash, or removes it if it was added before. */
  toggle(short: number, hash: number): void {
    this.total = (this.total ^ hash) >>> 0;
    const bucket = short & (BUCKETS - 1);
    this.#buckets[bucket] = (this.#buckets[bucket] as number) ^ hash;
  }

  buckets(): Uint32Array {
    return this.#buckets.slice();
  }

  /** Bits of the differing buckets: high word, low word. */
  difference(other: Uint32Array): readonly [number, number] {
    let [high, low] = [0, 0];
    for (let i = 0; i < BUCKETS; i++) {
      if (this.#buckets[i] === other[i]) continue;
      if (i < 32) low |= 1 << i;
      else high |= 1 << (i - 32);
    }
    return [high >>> 0, low >>> 0];
  }
}

export function isWanted([high, low]: readonly [number, number], short: number): boolean {
  const bucket = short & (BUCKETS - 1);
  return (((bucket < 32 ? low : high) >>> (bucket & 31)) & 1) === 1;
}
