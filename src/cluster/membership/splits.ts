/**
 * State machine that decides whether this node's side of a partition continues (docs/internals/cluster.md, Splits).
 * Pure.
 *
 *   UNSETTLED ──nobody lost, whole, unchanged for stableFor, then answered──> WHOLE
 *       └──somebody lost, and too long unsettled────────────────────────> one of the others
 *
 *   WHOLE ──somebody is lost──> CHANGING ──unchanged for stableFor──> GOES ON  or  MINORITY
 *     ^                            ^  └────────────<──a change──────────┘ │
 *     └──all are back, or the rest were forgotten─────────────────────────┘
 *
 * Without an answer since the last change, a node whose packets are lost would count its remaining members as its side.
 * A minority keeps lost members that autoclean forgets, or it would become its own majority.
 */
import { MAX_MEMBERS } from "../bounds.js";
import { DeathReason } from "../wire/packets.js";
import type { ClusterChange } from "./context.js";
import type { Member } from "./members.js";

/** How the continuing side is found. docs/internals/cluster.md describes ties and cuts in three. */
export type SplitStrategy = "majority" | { readonly quorum: number } | "none";

export type SplitMember = Pick<Member, "id" | "name" | "start">;

/** As events of the cluster. */
export type SplitChange =
  /** Some members are unreachable, and this side continues. */
  | {
      readonly type: "split";
      readonly reached: number;
      readonly lost: number;
      readonly strategy: "majority" | "quorum" | "none";
    }
  /** This side does not continue. */
  | { readonly type: "minority"; readonly reached: number; readonly lost: number }
  /** This side is no longer a minority. `rejoined`: it has to, under a new start. */
  | { readonly type: "healed"; readonly rejoined: boolean };

export interface SplitView {
  /** Time of the last answer of a member to this node. */
  readonly answeredAt: number;
  /** Whether the view has converged with those of the members that this node hears. */
  readonly isWhole: boolean;
  /** Total ms of pauses of the process, in which nothing could change. */
  readonly stalledFor: number;
}

export interface SplitOptions {
  readonly strategy: SplitStrategy;
  /** ms for which the view must be unchanged before a decision. */
  readonly stableFor: number;
  /** Whether a minority rejoins by itself when the partition heals. */
  readonly autoheal: boolean;
  /** Whether all nodes are on one host, which has no partitions: a member with another death reason than silence is gone. */
  readonly isOneHost: boolean;
}

/**
 * @param reached members of this side, including this node
 * @param lost the other known members
 */
export function goesOn(
  strategy: SplitStrategy,
  reached: readonly SplitMember[],
  lost: readonly SplitMember[],
): boolean {
  if (strategy === "none") return true;
  if (strategy !== "majority") return reached.length >= strategy.quorum;
  if (reached.length !== lost.length) return reached.length > lost.length;
  const lowest = (members: readonly SplitMember[]): string => members.map(({ id }) => id).sort()[0] ?? "";
  return lowest(reached) < lowest(lost);
}

export class SplitRules {
  readonly #strategy: SplitStrategy;
  readonly #stableFor: number;
  readonly #autoheal: boolean;
  readonly #isGoneByEvidence: boolean;
  readonly #onChange: (change: SplitChange) => void;
  readonly #self: SplitMember;
  readonly #reached = new Map<string, SplitMember>();
  readonly #lost = new Map<string, SplitMember>();
  /** Lost members that are forgotten as soon as this side continues. */
  readonly #cleaned = new Set<string>();
  #minority = false;
  #decided = true;
  #changedAt = 0;
  /** At the last tick, and at the first one after the last change. */
  #stalledFor = 0;
  #stalledBefore: number | undefined = 0;
  /** Whether the view ever converged. */
  #settled = false;
  /** Whether this side continues as soon as a member answers. */
  #waits = false;
  /** Since the last decision. */
  #lostSome = false;

  constructor(
    self: SplitMember,
    { strategy, stableFor, autoheal, isOneHost }: SplitOptions,
    onChange: (change: SplitChange) => void,
  ) {
    this.#self = self;
    this.#strategy = strategy;
    this.#stableFor = stableFor;
    this.#autoheal = autoheal;
    this.#isGoneByEvidence = isOneHost && strategy === "majority";
    this.#onChange = onChange;
    this.#reached.set(self.id, self);
  }

  get minority(): boolean {
    return this.#minority;
  }

  get lost(): readonly SplitMember[] {
    return [...this.#lost.values()];
  }

  onChange(now: number, change: ClusterChange): void {
    switch (change.type) {
      case "joined":
      case "back":
      case "restarted":
      case "rejoined":
        if (!change.member.isOneWay) this.onReached(now, change.member);
        break;
      case "reached":
        if (change.member.isLive) this.onReached(now, change.member);
        break;
      case "one-way":
        this.onLost(now, change.member.id);
        break;
      case "lost": {
        const isEvident = change.reason === DeathReason.CONNECTION || change.reason === DeathReason.REPLACED;
        if (isEvident && this.#isGoneByEvidence) this.onGone(now, change.member.id);
        else this.onLost(now, change.member.id);
        break;
      }
      case "left":
        this.onGone(now, change.member.id);
        break;
      case "removed":
        this.onGone(now, change.id);
        break;
      case "cleaned":
        this.onCleaned(change.member.id);
        break;
    }
  }

  onReached(now: number, { id, name, start }: SplitMember): void {
    const member = { id, name, start };
    this.#lost.delete(member.id);
    this.#cleaned.delete(member.id);
    this.#reached.set(member.id, member);
    this.#changed(now);
  }

  onLost(now: number, id: string): void {
    const member = this.#reached.get(id);
    if (member === undefined || id === this.#self.id) return;
    this.#reached.delete(id);
    this.#lost.set(id, member);
    this.#lostSome = true;
    this.#changed(now);
  }

  /** A member left or was removed, so it belongs to no side. */
  onGone(now: number, id: string): void {
    if (id === this.#self.id) return;
    if (this.#reached.delete(id) || this.#lost.delete(id)) this.#changed(now);
  }

  /** Autoclean forgot a member. A minority, and a side that has not decided yet, still counts it. */
  onCleaned(id: string): void {
    if (!this.#lost.has(id)) return;
    this.#cleaned.add(id);
    for (const oldest of this.#cleaned) {
      if (this.#cleaned.size <= MAX_MEMBERS) break;
      this.#cleaned.delete(oldest);
      this.#lost.delete(oldest);
    }
    if (this.#decided && !this.#minority) this.#forget();
  }

  nextWakeUp(): number {
    // It then waits for an answer instead of a time.
    if (this.#decided || this.#waits) return Number.POSITIVE_INFINITY;
    if (this.#settled) return this.#dueAt;
    return this.#lost.size > 0 ? Math.max(this.#dueAt, this.#unsettledUntil) : Number.POSITIVE_INFINITY;
  }

  get #dueAt(): number {
    return this.#changedAt + this.#stableFor + this.#stalledFor - (this.#stalledBefore ?? this.#stalledFor);
  }

  /** When a node decides whose view never converged. A node of a pair must not continue alone. */
  get #unsettledUntil(): number {
    const hasMetOne = this.#reached.size + this.#lost.size === 2;
    return this.#changedAt + (hasMetOne ? 20 : 4) * this.#stableFor;
  }

  /** Must also be called whenever a member answered. */
  tick(now: number, { answeredAt, isWhole, stalledFor }: SplitView): void {
    this.#stalledFor = stalledFor;
    this.#stalledBefore ??= stalledFor;
    if (this.#decided || now < this.#dueAt) return;
    if (!this.#settled) {
      this.#settled =
        this.#lost.size > 0 ? now >= this.#unsettledUntil : isWhole && answeredAt >= this.#dueAt;
      if (!this.#settled) return;
    }
    if (this.#waits && answeredAt <= this.#changedAt) return;
    this.#dropSucceeded();
    const [reached, lost] = [[...this.#reached.values()], [...this.#lost.values()]];
    const isMinority = !goesOn(this.#strategy, reached, lost);
    this.#waits = !isMinority && lost.length > 0 && reached.length > 1 && answeredAt <= this.#changedAt;
    if (this.#waits) return;
    this.#decided = true;
    const was = this.#minority;
    this.#minority = isMinority;
    const counts = { reached: reached.length, lost: lost.length };
    if (isMinority && !was) this.#onChange({ type: "minority", ...counts });
    else if (!isMinority && was) this.#onChange({ type: "healed", rejoined: this.#autoheal });
    else if (!isMinority && this.#lostSome && lost.length > 0)
      this.#onChange({ type: "split", ...counts, strategy: nameOf(this.#strategy) });
    this.#lostSome = false;
    if (!isMinority) this.#forget();
  }

  /** Drops lost members that were restarted: a later start with the same name is the same node. */
  #dropSucceeded(): void {
    if (this.#lost.size === 0) return;
    const starts = new Map<string, number>();
    for (const { name, start } of [...this.#reached.values(), ...this.#lost.values()])
      starts.set(name, Math.max(start, starts.get(name) ?? start));
    for (const { id, name, start } of this.#lost.values()) {
      if ((starts.get(name) ?? start) <= start) continue;
      this.#lost.delete(id);
      this.#cleaned.delete(id);
    }
  }

  #forget(): void {
    for (const id of this.#cleaned) this.#lost.delete(id);
    this.#cleaned.clear();
  }

  #changed(now: number): void {
    this.#changedAt = now;
    this.#stalledBefore = undefined;
    this.#decided = false;
    this.#waits = false;
  }
}

function nameOf(strategy: SplitStrategy): "majority" | "quorum" | "none" {
  return typeof strategy === "string" ? strategy : "quorum";
}
