/**
 * How often a node reports that it refused somebody: each address and reason once in a while, and not more than a few a
 * second whatever arrives. All are counted elsewhere. Pure.
 */

/** ms between two reports of one address and reason. */
const REPORT_INTERVAL = 60_000;
/** Reports at once, and a second after that. */
const REPORT_BURST = 8;
const REPORTS_PER_SECOND = 1;
/** Addresses and reasons that are remembered; the oldest is forgotten. */
const MAX_REPORTED = 256;

export class RefusalReports {
  /** When each was reported last, the oldest first. */
  readonly #reported = new Map<string, number>();
  #tokens = REPORT_BURST;
  #filledAt = 0;

  /** Addresses and reasons that are remembered. */
  get size(): number {
    return this.#reported.size;
  }

  /** @returns whether this refusal is to be reported */
  allows(now: number, host: string, reason: string): boolean {
    const name = `${host} ${reason}`;
    const before = this.#reported.get(name);
    if (before !== undefined && now - before < REPORT_INTERVAL) return false;
    const filled = ((now - this.#filledAt) / 1_000) * REPORTS_PER_SECOND;
    this.#tokens = Math.min(REPORT_BURST, this.#tokens + filled);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    this.#reported.delete(name);
    this.#reported.set(name, now);
    const [oldest] = this.#reported.keys();
    if (this.#reported.size > MAX_REPORTED && oldest !== undefined) this.#reported.delete(oldest);
    return true;
  }
}
