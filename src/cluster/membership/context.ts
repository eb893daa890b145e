/** State shared by a node's membership rules: its packets, its gossip, and the changes that the rules report. */
import { MAX_MEMBERS, MAX_REMOVALS, MAX_UPDATES } from "../bounds.js";
import type { Details } from "../details.js";
import { type Incarnation, nextIncarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import { bodySize } from "../wire/codec.js";
import {
  AckFlag,
  NO_UPDATES,
  Packet,
  type PacketFields,
  PacketType,
  Update,
  UpdateKind,
} from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import { aliveOf, Member, MemberState, Members } from "./members.js";

/** `member` is the internal record: read it, and keep only its id. */
export type ClusterChange =
  | { readonly type: "joined"; readonly member: Member }
  /** A lost or left member returned; `restarted`: as another process. */
  | { readonly type: "back"; readonly member: Member; readonly restarted: boolean }
  /** A process with the same id replaced it before it was missed. */
  | { readonly type: "restarted"; readonly member: Member }
  /** The same process returned from the minority side, with a later start and perhaps a new address. */
  | { readonly type: "rejoined"; readonly member: Member }
  | { readonly type: "suspect"; readonly member: Member }
  | { readonly type: "cleared"; readonly member: Member }
  | { readonly type: "moved"; readonly member: Member }
  /** The member is heard, but does not receive this node's packets (asymmetric). */
  | { readonly type: "one-way"; readonly member: Member }
  | { readonly type: "reached"; readonly member: Member }
  /** `reason` is a DeathReason. */
  | { readonly type: "lost"; readonly member: Member; readonly reason: number }
  | { readonly type: "left"; readonly member: Member }
  /** `member` may be this node; `undefined`: absent. */
  | { readonly type: "removed" | "admitted"; readonly id: string; readonly member: Member | undefined }
  /** Forgotten, some time after it was lost or left. */
  | { readonly type: "cleaned"; readonly member: Member }
  | { readonly type: "details"; readonly member: Member; readonly before: Details }
  | { readonly type: "draining"; readonly member: Member }
  /** The member sent a heartbeat on a channel other than 0. */
  | { readonly type: "heartbeat"; readonly member: Member; readonly channel: number }
  | { readonly type: "refused"; readonly reason: RefusalReason };

type RefusalReason = "full" | "new-members" | "removed" | "stranger" | "stale" | "self" | "ahead" | "gossip";

/** Effects must not call back. */
export interface MembershipEffects {
  send(address: string, packet: Packet, overStream: boolean): void;
  multicast(packet: Packet): void;
  event(change: ClusterChange): void;
}

// --- Context ---------------------------------------------------------------------------------------------------------

/** Probe intervals without a packet, or without an answer. */
const CUT_OFF_AFTER = 3;
export const NEVER = Number.POSITIVE_INFINITY;

export interface MembershipOptions {
  /** `start` is its wall clock. */
  readonly self: Pick<Member, "id" | "name" | "address" | "start">;
  readonly profile: Profile;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly effects: MembershipEffects;
  /** Monotonic. */
  readonly now: number;
  /** Whether only streams, which prove the peer's identity, may add and remove members. Default `false`. */
  readonly provesNodes?: boolean;
}

export class Context {
  readonly profile: Profile;
  readonly random: () => number;
  readonly effects: MembershipEffects;
  readonly self: Member;
  readonly members: Members;
  /**
   * Local health (Lifeguard): 0 is healthy. Signs that this node is late or deaf raise the score, successful probes
   * lower it. Probe intervals and timeouts are multiplied by the score plus 1.
   */
  healthScore = 0;
  readonly provesNodes: boolean;
  overStream = false;
  /** An update was ignored because it did not come over a stream. */
  passedOver = false;
  /** Wall clock minus monotonic time, for the versions of removals. */
  readonly wallOffset: number;
  now: number;
  heardAt = Number.NEGATIVE_INFINITY;
  /** Shows that this node's packets arrive. Adjusted for pauses of the process. */
  reachedAt: number;
  /** Without adjustment; negative infinity before the first answer. */
  ackedAt = Number.NEGATIVE_INFINITY;
  stalledFor = 0;
  changedAt: number;
  /** It is cut off and has declared members dead. */
  isAlone = false;
  left = false;
  removed = false;
  /** Members that return to a minority count as reachable once they answer. */
  isMinority = false;
  refutations = 0;
  /** Updates are forwarded from the first synchronization on. */
  established = false;
  readonly #queue = new GossipQueue();
  nextGossip = NEVER;
  #lastGossip = Number.NEGATIVE_INFINITY;
  #cursor = 0;

  constructor({ self, profile, random, effects, now, provesNodes = false }: MembershipOptions) {
    this.profile = profile;
    this.random = random;
    this.effects = effects;
    this.self = new Member({ ...self, count: 0 }, now);
    this.members = new Members(this.self);
    this.provesNodes = provesNodes;
    this.wallOffset = self.start - now;
    this.now = now;
    this.changedAt = now;
    this.reachedAt = now;
  }

  heard(member: Member): void {
    member.lastHeard = this.now;
    member.expectedBy = Number.POSITIVE_INFINITY;
    this.heardAt = this.now;
    if (this.isAlone) this.isAlone = this.isUnanswered();
  }

  answered(): void {
    this.reachedAt = this.now;
    this.ackedAt = this.now;
  }

  changeHealth(by: number): void {
    this.healthScore = Math.max(0, Math.min(8, this.healthScore + by));
  }

  scaled(ms: number): number {
    return ms * (this.healthScore + 1);
  }

  hearsNobody(): boolean {
    return this.now - this.heardAt > CUT_OFF_AFTER * this.profile.probeInterval;
  }

  /**
   * Whether this node's packets are lost, even if it hears others. A node that declared members dead for this reason
   * needs an answer to recover, since each such death has lowered its health.
   */
  isUnanswered(): boolean {
    const { probeInterval } = this.profile;
    const interval = this.isAlone ? probeInterval : this.scaled(probeInterval);
    return probeInterval > 0 && this.now - this.reachedAt > CUT_OFF_AFTER * interval;
  }

  /** A node that hears no one or gets no answers accuses no one to others. */
  isCutOff(): boolean {
    return (this.hearsNobody() || this.isUnanswered()) && (this.members.size > 2 || this.isAlone);
  }

  /** Otherwise the statement is requested over a stream. */
  believes(): boolean {
    if (!this.provesNodes || this.overStream) return true;
    this.passedOver = true;
    return false;
  }

  changed(): void {
    this.changedAt = this.now;
  }

  setIncarnation({ start, count }: Incarnation): void {
    this.self.start = start;
    this.self.count = count;
    this.members.rehash(this.self);
  }

  refuse(reason: RefusalReason): void {
    this.effects.event({ type: "refused", reason });
  }

  // --- Packets of this node: header, piggybacked updates, and gossip -------------------------------------------------

  packet(type: PacketType, fields?: PacketFields): Packet {
    const { id, start, count } = this.self;
    const digest = this.members.digest.total;
    return new Packet({ type, from: id, start, count, digest }, fields);
  }

  send(address: string, overStream: boolean, type: PacketType, fields: PacketFields): void {
    this.effects.send(address, this.packet(type, fields), overStream);
  }

  /** By default an answer to a packet that came over a stream goes over a stream. */
  sendUpdates(address: string, updates: readonly Update[], overStream = this.overStream): void {
    this.send(address, overStream, PacketType.GOSSIP, { updates });
  }

  piggyback(used: number): readonly Update[] {
    if (this.#queue.size === 0) return NO_UPDATES;
    return this.#queue.take(MAX_BODY - bodySize(PacketType.SYNC) - used, this.#transmissions());
  }

  #transmissions(): number {
    return Math.ceil(this.profile.gossipFactor * Math.max(1.5, Math.log10(this.members.size + 1)));
  }

  ping(member: Member, seq: number, overStream: boolean): void {
    const { suspicion } = member;
    let updates = this.piggyback(64);
    if (suspicion !== undefined || member.accused) {
      if (suspicion !== undefined) suspicion.accusedAt = this.now;
      const accusers = suspicion?.accusers ?? [this.self.short];
      updates = [Update.suspect(member, accusers), ...updates];
      member.accused = false;
    }
    this.send(member.address, overStream, PacketType.PING, { seq, target: member.short, updates });
  }

  ack(ping: Packet, address: string, overStream: boolean, updates: readonly Update[]): void {
    const isOther = ping.target !== 0 && ping.target !== this.self.short;
    const flags = isOther ? AckFlag.OTHER : 0;
    this.send(address, overStream, PacketType.ACK, { seq: ping.seq, flags, updates });
  }

  ask(helper: Member, member: Member, seq: number): void {
    const { id, address } = member;
    const updates = this.piggyback(address.length);
    this.send(helper.address, false, PacketType.PING_REQ, { seq, about: id, address, updates });
  }

  answer(address: string, seq: number, flags: number, acked: boolean): void {
    const type = acked ? PacketType.ACK : PacketType.NACK;
    this.send(address, false, type, { seq, flags, updates: this.piggyback(0) });
  }

  ownAlive(): Update {
    return aliveOf(this.self);
  }

  ownDetails(): Update {
    return Update.details(this.self.id, this.self.start, this.self.details);
  }

  heartbeatPacket(channel: number): Packet {
    const updates = [this.ownAlive()];
    if (this.self.details.version > 0) updates.push(this.ownDetails());
    return this.packet(PacketType.HEARTBEAT, { flags: channel, updates });
  }

  spread(update: Update): void {
    if (this.#queue.push(update)) this.refuse("gossip");
    const due = Math.max(this.now + 5, this.#lastGossip + this.profile.gossipInterval);
    this.nextGossip = Math.min(this.nextGossip, due);
  }

  announce(needsBump = true): void {
    if (needsBump) this.setIncarnation(nextIncarnation(this.self));
    this.changed();
    this.spread(this.ownAlive());
  }

  gossip(): void {
    const { now, profile, members, random } = this;
    if (this.#cursor === 0) this.#cursor = Math.floor(random() * MAX_MEMBERS);
    const { live } = members;
    this.#lastGossip = now;
    this.nextGossip = NEVER;
    const room = MAX_BODY - bodySize(PacketType.GOSSIP);
    for (let i = 0; i < profile.gossipNodes && i < live.length; i++) {
      const updates = this.#queue.take(room, this.#transmissions());
      if (updates.length === 0) break;
      const { address, overStream } = this.#listener(live);
      this.sendUpdates(address, updates, overStream);
    }
    if (this.#queue.size > 0 && live.length > 0) this.nextGossip = now + profile.gossipInterval;
  }

  /** The next member in turn, from a random start: a random choice would sometimes skip one of ten. */
  #listener(live: readonly Member[]): Member {
    let member = live[this.#cursor++ % live.length] as Member;
    // Suspects are skipped: the small side of a partition would lose most of its gossip to them.
    for (let tries = 32; tries > 0 && member.state === MemberState.SUSPECT; tries--)
      member = live[this.#cursor++ % live.length] as Member;
    return member;
  }

  dropGossip(id: string): void {
    this.#queue.drop(id);
  }
}

export function pick<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}

// --- Gossip ----------------------------------------------------------------------------------------------------------

interface Item {
  readonly key: string;
  readonly update: Update;
  transmitted: number;
}

function keyOf(update: Update): string {
  switch (update.kind) {
    case UpdateKind.DETAILS:
      return `d${update.id}`;
    case UpdateKind.REMOVAL:
      return `r${update.id}`;
    default:
      return update.id;
  }
}

/**
 * Queue of updates to spread: the latest about each member, least transmitted first, each a limited number of times.
 *
 *   transmitted 0 { c d }   1 { a }   2 { }   3 { b }   … limit
 *
 * An update supersedes the previous one with its key. Details and removals have separate keys.
 */
class GossipQueue {
  readonly #items = new Map<string, Item>();
  readonly #levels: Set<Item>[] = [];

  get size(): number {
    return this.#items.size;
  }

  /** @returns whether a full queue dropped the oldest update */
  push(update: Update): boolean {
    const key = keyOf(update);
    // A faulty member may gossip about any number of nonexistent nodes. Synchronization repairs dropped updates.
    const isFull = this.#items.size >= 2 * (MAX_MEMBERS + MAX_REMOVALS) && !this.#items.has(key);
    const [oldest] = isFull ? this.#items.keys() : [];
    this.drop(oldest ?? key);
    const item = { key, update, transmitted: 0 };
    this.#items.set(key, item);
    this.#level(0).add(item);
    return isFull;
  }

  /** Keeps details and removals, which have other keys. */
  drop(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#items.delete(key);
    this.#level(item.transmitted).delete(item);
  }

  /**
   * Takes updates for one packet; each counts as transmitted.
   *
   * @param room bytes
   * @param limit transmissions of an update
   */
  take(room: number, limit: number): readonly Update[] {
    if (this.#items.size === 0) return NO_UPDATES;
    const taken: Item[] = [];
    let left = room;
    for (const level of this.#levels)
      for (const item of level) {
        // Stops at the first update that does not fit: trying all is expensive when a large cluster starts.
        if (item.update.size > left || taken.length >= MAX_UPDATES - 2) break;
        left -= item.update.size;
        taken.push(item);
      }
    for (const item of taken) {
      this.#level(item.transmitted).delete(item);
      item.transmitted += 1;
      if (item.transmitted < limit) this.#level(item.transmitted).add(item);
      else this.#items.delete(item.key);
    }
    return taken.length === 0 ? NO_UPDATES : taken.map(({ update }) => update);
  }

  #level(at: number): Set<Item> {
    while (this.#levels.length <= at) this.#levels.push(new Set());
    return this.#levels[at] as Set<Item>;
  }
}
