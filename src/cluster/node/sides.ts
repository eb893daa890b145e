/** Relates changes of members to split decisions, and acts on the decisions. */
import type { ClusterChange } from "../membership/events.js";
import type { Member } from "../membership/members.js";
import { type SplitMember, type SplitOptions, SplitRules, type SplitView } from "../splits.js";
import { DeathReason } from "../wire/packets.js";
import type { ClusterEvent } from "./events.js";

export interface SidesOptions extends SplitOptions {
  /** One host has no partitions, so a member that is dead by evidence counts as gone. */
  readonly isOneHost: boolean;
}

export interface SidesEffects {
  rejoin(): void;
  event(event: ClusterEvent): void;
}

export class Sides {
  readonly #rules: SplitRules;
  readonly #evidenceIsOfNoSide: boolean;
  #lostSome = false;

  /** @throws InvalidArgumentError `EINVAL` for a quorum below 1 */
  constructor(self: SplitMember, options: SidesOptions, effects: SidesEffects) {
    const { strategy, isOneHost } = options;
    this.#evidenceIsOfNoSide = isOneHost && strategy.kind === "majority";
    this.#rules = new SplitRules(self, options, (change) => {
      if (change.type === "healed") {
        if (change.rejoins) effects.rejoin();
        effects.event({ type: "healed", rejoined: change.rejoins });
      } else if (change.type === "minority") effects.event(change);
      else if (this.#lostSome) effects.event({ ...change, strategy: strategy.kind });
      this.#lostSome = false;
    });
  }

  get minority(): boolean {
    return this.#rules.minority;
  }

  nextWakeUp(): number {
    return this.#rules.nextWakeUp();
  }

  tick(now: number, view: SplitView): void {
    this.#rules.tick(now, view);
  }

  heal(): void {
    this.#rules.heal();
  }

  onChange(now: number, change: ClusterChange): void {
    switch (change.type) {
      case "joined":
      case "back":
      case "restarted":
      case "rejoined":
        if (!change.member.unreached) this.#onReached(now, change.member);
        break;
      case "reached":
        if (change.member.isLive) this.#onReached(now, change.member);
        break;
      case "unreached":
        this.#onLost(now, change.member.id);
        break;
      case "lost":
        if (this.#evidenceIsOfNoSide && isEvident(change.reason)) this.#rules.onGone(now, change.member.id);
        else this.#onLost(now, change.member.id);
        break;
      case "left":
        this.#rules.onGone(now, change.member.id);
        break;
      case "removed":
        this.#rules.onGone(now, change.id);
        break;
      case "cleaned":
        this.#rules.onCleaned(change.member.id);
        break;
    }
  }

  #onReached(now: number, { id, name, start }: Member): void {
    this.#rules.onReached(now, { id, name, start });
  }

  #onLost(now: number, id: string): void {
    this.#lostSome = true;
    this.#rules.onLost(now, id);
  }
}

function isEvident(reason: number): boolean {
  return reason === DeathReason.CONNECTION || reason === DeathReason.REPLACED;
}
