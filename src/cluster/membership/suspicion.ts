/**
 * Suspicion timeout: shorter with more independent accusers (Lifeguard). A failed probe (prober.ts) or another member's
 * word (updates.ts) makes a member suspect (life-cycle.ts).
 *
 *   further accusers            0 ───────────────── wanted
 *   time                        max ──logarithmic── min
 */
import { MAX_ACCUSERS } from "../bounds.js";
import type { Profile } from "../profiles.js";

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
    this.accusers = accusers.slice(0, MAX_ACCUSERS);
  }

  /** @returns whether an accuser is new and still counts */
  accuse(accusers: readonly number[], wanted: number): boolean {
    let added = false;
    for (const accuser of accusers) {
      if (this.accusers.length > wanted || this.accusers.length >= MAX_ACCUSERS) break;
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
