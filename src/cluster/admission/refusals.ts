/** Limits reports of refusals: once per interval for each address and reason, and a few per second in total. Pure. */

const REPORT_INTERVAL = 60_000;
/** One a second after it. */
const REPORT_BURST = 8;
const MAX_REPORTED = 256;

export class RefusalReports {
  /** Time of the last report for each, oldest first. */
  readonly #reported = new Map<string, number>();
  #tokens = REPORT_BURST;
  #filledAt = 0;

  get size(): number {
    return this.#reported.size;
  }

  allows(now: number, host: string, reason: string): boolean {
    const name = `${host} ${reason}`;
    const before = this.#reported.get(name);
    if (before !== undefined && now - before < REPORT_INTERVAL) return false;
    const filled = (now - this.#filledAt) / 1_000;
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
