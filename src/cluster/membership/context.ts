/** State shared by a node's membership rules. */
import type { Incarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import type { MembershipEffects, RefusalReason } from "./events.js";
import { Health } from "./health.js";
import { Member, Members } from "./members.js";

/** Probe intervals without a packet, or without an answer. */
const CUT_OFF_AFTER = 3;

export interface SelfOptions {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  /** Wall clock. */
  readonly start: number;
}

export interface MembershipOptions {
  readonly self: SelfOptions;
  readonly profile: Profile;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly effects: MembershipEffects;
  /** Monotonic. */
  readonly now: number;
  /** Whether only streams, which prove the peer's identity, may add and remove members. Default `false`. */
  readonly provesNodes?: boolean;
  /** `false` measures the effect. Default `true`. */
  readonly localHealth?: boolean;
}

export class Context {
  readonly profile: Profile;
  readonly random: () => number;
  readonly effects: MembershipEffects;
  readonly self: Member;
  readonly members: Members;
  readonly health: Health;
  readonly localHealth: boolean;
  readonly provesNodes: boolean;
  overStream = false;
  /** An update was ignored because it did not come over a stream. */
  passedOver = false;
  /** Wall clock minus monotonic time, for the versions of removals. */
  readonly wallOffset: number;
  now: number;
  heardAt = Number.NEGATIVE_INFINITY;
  /** Shows that this node's packets arrive. Adjusted for pauses of the process. */
  answeredAt: number;
  /** Without adjustment; negative infinity before the first answer. */
  ackedAt = Number.NEGATIVE_INFINITY;
  stalledFor = 0;
  changedAt: number;
  /** It is cut off and has declared members dead. */
  isAlone = false;
  left = false;
  removed = false;
  isMinority = false;
  refutations = 0;
  /** Updates are forwarded from the first synchronization on. */
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

  heard(member: Member): void {
    member.lastHeard = this.now;
    member.expectedBy = Number.POSITIVE_INFINITY;
    this.heardAt = this.now;
    if (this.isAlone) this.isAlone = this.isUnanswered();
  }

  answered(): void {
    this.answeredAt = this.now;
    this.ackedAt = this.now;
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
    const interval = this.isAlone ? probeInterval : this.health.scale(probeInterval);
    return probeInterval > 0 && this.now - this.answeredAt > CUT_OFF_AFTER * interval;
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
}

export function pick<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}
