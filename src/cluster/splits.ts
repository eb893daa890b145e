/**
 * Whether this node is on the side that goes on when a cluster is cut in parts. Pure; it decides once the picture was stable.
 *
 *   UNSETTLED ──nobody lost, whole, unchanged for stableFor, then answered──> WHOLE
 *       └──somebody lost, and its patience over──────────────────────────> one of the others
 *
 *   WHOLE ──somebody is lost──> CHANGING ──unchanged for stableFor──> GOES ON  or  MINORITY
 *     ^                            ^  └────────────<──a change──────────┘ │
 *     └──all are back, or the rest were forgotten─────────────────────────┘
 *
 * A node that has just started is of no side. It knows a part of the cluster, often one node that many others begin with and that is
 * late for all of them: to lose that one is no cut. So it takes no side before its picture was once settled: nobody lost or suspected, like that of the members that
 * it hears, unchanged for `stableFor`, and a member answered after that. Who has lost somebody before decides after
 * UNSETTLED_PATIENCE all the same, so that a cluster which is cut in its first second has a minority within seconds; who has met one node only
 * waits for LONE_PATIENCE, so that nobody goes on alone for good.
 *
 * It goes on once one of those that are left has answered since the last change: who finds out one by one that nobody receives what it
 * sends does not take the rest for its side meanwhile.
 *
 * The roster is everybody who was there when the picture was last whole, and who came since, without those that left or were
 * removed, and without the lives before of a node that was started again: a lost member whose name a younger one has is of no
 * side. A side that goes on forgets the lost with autoclean; a minority does not, or it would become the majority of itself.
 */
import { checkInteger } from "../core/arguments.js";
import { MAX_MEMBERS } from "./bounds.js";

/** How the side that goes on is found; docs/internals/cluster.md has what each does with ties and cuts in three. */
export type SplitStrategy =
  | { readonly kind: "majority" }
  | { readonly kind: "oldest" }
  | { readonly kind: "quorum"; readonly size: number }
  | { readonly kind: "referee"; readonly name: string }
  | { readonly kind: "none" };

/** A node, as these rules see it. */
export interface SplitMember {
  readonly id: string;
  readonly name: string;
  readonly start: number;
}

export type SplitChange =
  /** Some are out of reach, and this side goes on. */
  | { readonly type: "split"; readonly reached: number; readonly lost: number }
  /** This side is not the one that goes on. */
  | { readonly type: "minority"; readonly reached: number; readonly lost: number }
  /** It is not a minority any more; `rejoins`: the node should rejoin under a new start and take the others' state. */
  | { readonly type: "healed"; readonly rejoins: boolean };

/** What a node knows of its own view. */
export interface SplitView {
  /** When a member answered this node last. */
  readonly answeredAt: number;
  /** Whether the picture is that of the members that this node hears: it was exchanged, none is known to have another, and nobody is suspected. */
  readonly isWhole: boolean;
  /** ms for which the process stood still, since it began: they do not count as time in which nothing changed. */
  readonly stalledFor: number;
}

/** Times `stableFor` after the last change, after which a node that never had a settled picture decides, if it has lost somebody. */
const UNSETTLED_PATIENCE = 4;
/** The same of one that has met one other only. */
const LONE_PATIENCE = 20;

export interface SplitOptions {
  readonly strategy: SplitStrategy;
  /** ms that the picture is unchanged before it is decided. */
  readonly stableFor: number;
  /** Whether a minority that healed rejoins by itself. */
  readonly autoheal: boolean;
}

/**
 * Whether the side that consists of `reached` goes on.
 *
 * @param reached the members that this side reaches, itself included
 * @param lost the rest of the roster
 */
export function goesOn(
  strategy: SplitStrategy,
  reached: readonly SplitMember[],
  lost: readonly SplitMember[],
): boolean {
  if (lost.length === 0) return strategy.kind !== "quorum" || reached.length >= strategy.size;
  switch (strategy.kind) {
    case "majority": {
      if (reached.length !== lost.length) return reached.length > lost.length;
      return lowest(reached, byId) === lowest([...reached, ...lost], byId);
    }
    case "oldest":
      return lowest(reached, byAge) === lowest([...reached, ...lost], byAge);
    case "quorum":
      return reached.length >= strategy.size;
    case "referee": {
      const referee = refereeOf(strategy.name, [...reached, ...lost]);
      return referee !== undefined && reached.includes(referee);
    }
    case "none":
      return true;
  }
}

/**
 * The member that a referee's name means, with its host or without: of several the one that started first, so that both sides have
 * the same one in mind. A name without a host is that of a node on any host.
 */
function refereeOf(name: string, roster: readonly SplitMember[]): SplitMember | undefined {
  let found: SplitMember | undefined;
  for (const member of roster) {
    if (member.name !== name && !member.name.startsWith(`${name}@`)) continue;
    if (found === undefined || byAge(member, found)) found = member;
  }
  return found;
}

type Order = (a: SplitMember, b: SplitMember) => boolean;
const byId: Order = (a, b) => a.id < b.id;
const byAge: Order = (a, b) => (a.start !== b.start ? a.start < b.start : a.id < b.id);

function lowest(members: readonly SplitMember[], isBefore: Order): string | undefined {
  let first: SplitMember | undefined;
  for (const member of members) if (first === undefined || isBefore(member, first)) first = member;
  return first?.id;
}

export class SplitRules {
  readonly #strategy: SplitStrategy;
  readonly #stableFor: number;
  readonly #autoheal: boolean;
  readonly #onChange: (change: SplitChange) => void;
  readonly #self: SplitMember;
  readonly #reached = new Map<string, SplitMember>();
  readonly #lost = new Map<string, SplitMember>();
  /** Of the lost, those that may be forgotten as soon as this side goes on. */
  readonly #cleaned = new Set<string>();
  #minority = false;
  /** Decided for this picture. */
  #decided = true;
  #changedAt = 0;
  /** Of the process, at the last look; and at the first one after the change. */
  #stalledFor = 0;
  #stalledBefore: number | undefined = 0;
  /** Whether the picture was settled once; and whether it is unchanged for long enough, and waits for an answer to be settled. */
  #settled = false;
  #settles = false;
  /** Goes on as soon as somebody answers. */
  #waits = false;
  #needsHeal = false;

  /** @throws InvalidArgumentError `EINVAL` for a quorum below 1 */
  constructor(
    self: SplitMember,
    { strategy, stableFor, autoheal }: SplitOptions,
    onChange: (change: SplitChange) => void,
  ) {
    if (strategy.kind === "quorum") checkInteger("quorum", strategy.size);
    this.#self = self;
    this.#strategy = strategy;
    this.#stableFor = stableFor;
    this.#autoheal = autoheal;
    this.#onChange = onChange;
    this.#reached.set(self.id, self);
  }

  /** Whether this side is not the one that goes on. */
  get minority(): boolean {
    return this.#minority;
  }

  /** Whether it was a minority, and nobody healed it yet. */
  get needsHeal(): boolean {
    return this.#needsHeal;
  }

  /** Members of the roster that are out of reach. */
  get lost(): readonly SplitMember[] {
    return [...this.#lost.values()];
  }

  /** A member joined or came back. */
  onReached(now: number, member: SplitMember): void {
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
    this.#changed(now);
  }

  /** It left, or was removed: it is of no side. */
  onGone(now: number, id: string): void {
    if (id === this.#self.id) return;
    if (this.#reached.delete(id) || this.#lost.delete(id)) this.#changed(now);
  }

  /** Autoclean forgot it. A minority, and a side that has not decided yet, keeps it in mind. */
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

  /** The program has done what `rejoins` asks, or an operator says that nothing is to be done. */
  heal(): void {
    this.#needsHeal = false;
  }

  nextWakeUp(): number {
    // What it waits for is an answer, not a time.
    if (this.#decided || this.#waits) return Number.POSITIVE_INFINITY;
    if (!this.#settles) return this.#dueAt;
    return this.#lost.size > 0 ? this.#unsettledUntil : Number.POSITIVE_INFINITY;
  }

  get #dueAt(): number {
    return this.#changedAt + this.#stableFor + this.#stalledFor - (this.#stalledBefore ?? this.#stalledFor);
  }

  get #unsettledUntil(): number {
    const hasMetOne = this.#reached.size + this.#lost.size === 2;
    return this.#changedAt + (hasMetOne ? LONE_PATIENCE : UNSETTLED_PATIENCE) * this.#stableFor;
  }

  /** To be called again whenever a member answered. */
  tick(now: number, { answeredAt, isWhole, stalledFor }: SplitView): void {
    this.#stalledFor = stalledFor;
    this.#stalledBefore ??= stalledFor;
    if (this.#decided || now < this.#dueAt) return;
    if (!this.#settled) {
      this.#settled =
        this.#lost.size > 0 ? now >= this.#unsettledUntil : isWhole && answeredAt >= this.#dueAt;
      this.#settles = !this.#settled;
      if (this.#settles) return;
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
    if (isMinority) {
      this.#needsHeal = true;
      if (!was) this.#onChange({ type: "minority", reached: reached.length, lost: lost.length });
    } else if (was) {
      this.#onChange({ type: "healed", rejoins: this.#autoheal });
    } else if (lost.length > 0) {
      this.#onChange({ type: "split", reached: reached.length, lost: lost.length });
    }
    if (!isMinority) this.#forget();
  }

  /** Of a name there is one node: who has the name of one that is lost, and started later, is its next life, lost itself or not. */
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
    this.#settles = false;
  }
}
