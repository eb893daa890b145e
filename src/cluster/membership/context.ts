/** State shared by a bus's membership rules: this node, its membership view, the current time, and its local health. */
import type { Incarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import type { MembershipEffects, RefusalReason } from "./events.js";
import { Health } from "./health.js";
import { Member, Members } from "./members.js";

/** Probe intervals without a packet, or without an answer, before a node considers itself cut off. */
const CUT_OFF_AFTER = 3;

/** This node's identity. */
export interface SelfOptions {
  readonly id: string;
  readonly name: string;
  /** Its address for packets. */
  readonly address: string;
  /** Wall clock in ms at its start. */
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
  /** Whether only streams may add and remove members, because they prove the peer's identity. Default `false`. */
  readonly provesNodes?: boolean;
  /** Whether a late node lowers its local health. Default `true`; turn off to measure the effect. */
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
  /** Whether the current packet came over a stream. */
  overStream = false;
  /** Whether an update was ignored because it did not come over a stream. */
  passedOver = false;
  /** Wall clock minus monotonic time, for versions of removals. */
  readonly wallOffset: number;
  /** Time of the current call. */
  now: number;
  /** Time of the last packet from any node. */
  heardAt = Number.NEGATIVE_INFINITY;
  /** Time of the last answer from any node, which shows that packets arrive. Adjusted for pauses of the process. */
  answeredAt: number;
  /** Unadjusted `answeredAt`; infinitely long ago before the first answer. */
  ackedAt = Number.NEGATIVE_INFINITY;
  /** Total ms that the process was paused. */
  stalledFor = 0;
  /** Time of the last change of the membership view. */
  changedAt: number;
  /** Whether it is cut off and has declared members dead. */
  isAlone = false;
  /** Whether it has announced that it leaves. */
  left = false;
  /** Whether an operator removed it. */
  removed = false;
  /** Whether it is on the minority side of a partition. */
  isMinority = false;
  /** Accusations that it refuted with a newer incarnation. */
  refutations = 0;
  /** Whether updates are forwarded, which starts with the first synchronization. */
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

  /** Handles a member's sign of life. */
  heard(member: Member): void {
    member.lastHeard = this.now;
    member.expectedBy = Number.POSITIVE_INFINITY;
    this.heardAt = this.now;
    if (this.isAlone) this.isAlone = this.isUnanswered();
  }

  /** Handles a member's answer. */
  answered(): void {
    this.answeredAt = this.now;
    this.ackedAt = this.now;
  }

  /** Whether no node was heard recently. */
  hearsNobody(): boolean {
    return this.now - this.heardAt > CUT_OFF_AFTER * this.profile.probeInterval;
  }

  /**
   * Whether no node answered recently: packets of this node are lost even if it hears others. After declaring members
   * dead because of it, it needs an answer to recover. Its health is ignored, since each such death has lowered it.
   */
  isUnanswered(): boolean {
    const { probeInterval } = this.profile;
    const interval = this.isAlone ? probeInterval : this.health.scale(probeInterval);
    return probeInterval > 0 && this.now - this.answeredAt > CUT_OFF_AFTER * interval;
  }

  /** Whether this node is cut off, hearing no one or getting no answers. It then accuses no one to others. */
  isCutOff(): boolean {
    return (this.hearsNobody() || this.isUnanswered()) && (this.members.size > 2 || this.isAlone);
  }

  /** Whether a statement may add or remove a member; otherwise it is requested over a stream. */
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

/** A random element; `undefined` for an empty list. */
export function pick<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}
