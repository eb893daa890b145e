/**
 * What all rules of one bus share: who this node is, its picture of the cluster, the time of the call that runs, and how far it
 * trusts itself.
 */
import type { Incarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import type { MembershipEffects, RefusalReason } from "./events.js";
import { Health } from "./health.js";
import { Member, Members } from "./members.js";

/** Probe intervals without a packet, or without an answer, of anybody, after which a node takes itself for the one that is cut off. */
const CUT_OFF_AFTER = 3;

/** Who this node is. */
export interface SelfOptions {
  readonly id: string;
  readonly name: string;
  /** Where its packets are sent. */
  readonly address: string;
  /** Wall clock in ms when it started. */
  readonly start: number;
}

export interface MembershipOptions {
  readonly self: SelfOptions;
  readonly profile: Profile;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly effects: MembershipEffects;
  /** ms, monotonic. */
  readonly now: number;
  /** Whether only what comes over a stream makes members, and removes them: there the other node proved who it is. Default `false`. */
  readonly provesNodes?: boolean;
  /** Whether the node distrusts itself when it is late. Default `true`; off to measure what it is worth. */
  readonly localHealth?: boolean;
}

export class Context {
  readonly profile: Profile;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly effects: MembershipEffects;
  readonly self: Member;
  readonly members: Members;
  readonly health: Health;
  readonly localHealth: boolean;
  readonly provesNodes: boolean;
  /** Whether what is handled now came over a stream. */
  overStream = false;
  /** Whether something was passed over because it did not come over a stream. */
  passedOver = false;
  /** Wall clock minus the rules' time, for versions of removals. */
  readonly wallOffset: number;
  /** The time of the call that runs. */
  now: number;
  /** When anybody was heard. */
  heardAt = Number.NEGATIVE_INFINITY;
  /** When anybody answered: what this node sends was received. Later by what the process stood still since. */
  answeredAt: number;
  /** The same as it was; before the first answer infinitely long ago. */
  ackedAt = Number.NEGATIVE_INFINITY;
  /** ms for which the process stood still, in all. */
  stalledFor = 0;
  /** When the picture changed. */
  changedAt: number;
  /** Whether it gave members up while it was cut off, and is so still. */
  isAlone = false;
  /** Whether it said that it leaves. */
  left = false;
  /** Whether an operator removed it. */
  removed = false;
  /** Whether it is on the smaller side of a split. */
  isMinority = false;
  /** Accusations of itself that it answered by a newer incarnation. */
  refutations = 0;
  /** Since the first synchronization what others say is passed on. */
  established = false;

  constructor({
    self,
    profile,
    random,
    effects,
    now,
    localHealth = true,
    provesNodes = false,
  }: MembershipOptions) {
    this.profile = profile;
    this.random = random;
    this.effects = effects;
    this.self = new Member(self.id, self.name, self.address, self.start, 0, now);
    this.members = new Members(this.self);
    this.health = new Health(localHealth);
    this.localHealth = localHealth;
    this.provesNodes = provesNodes;
    this.wallOffset = self.start - now;
    this.now = now;
    this.changedAt = now;
    this.answeredAt = now;
  }

  /** A member gave a sign of life. */
  heard(member: Member): void {
    member.lastHeard = this.now;
    member.expectedBy = Number.POSITIVE_INFINITY;
    this.heardAt = this.now;
    if (this.isAlone) this.isAlone = this.isUnanswered();
  }

  /** A member answered what this node sent. */
  answered(): void {
    this.answeredAt = this.now;
    this.ackedAt = this.now;
  }

  /** Whether nobody at all was heard lately. */
  hearsNobody(): boolean {
    return this.now - this.heardAt > CUT_OFF_AFTER * this.profile.probeInterval;
  }

  /**
   * Whether nobody at all answered lately: what this node sends reaches nobody, though it may hear others. A node that gave members up
   * because of it needs an answer to think otherwise: its health has fallen with each of them, and is no reason to wait longer.
   */
  isUnanswered(): boolean {
    const { probeInterval } = this.profile;
    const interval = this.isAlone ? probeInterval : this.health.scale(probeInterval);
    return probeInterval > 0 && this.now - this.answeredAt > CUT_OFF_AFTER * interval;
  }

  /** It hears nobody, or nobody answers. So it is this node that is cut off, and it accuses nobody to others. */
  isCutOff(): boolean {
    return (this.hearsNobody() || this.isUnanswered()) && (this.members.size > 2 || this.isAlone);
  }

  /** Whether a statement that makes or removes a member is believed; else it is asked for over a stream. */
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
}

/** A random one of a list; `undefined` for an empty list. */
export function pick<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}
