/**
 * When a gap is healed by a new snapshot: at once, and less and less often when that
 * happens again and again, since a server that counts otherwise must not be asked
 * for ever.
 */

/** ms between two snapshots for gaps, at first and at most. */
const HEAL_DELAY = 50;
export const MAX_HEAL_DELAY = 10_000;

export class Healing {
  #at = 0;
  #delay = HEAL_DELAY;
  #wanted = false;

  /** A gap waits to be healed. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** When a snapshot for a gap may be asked for. */
  get at(): number {
    return this.#at;
  }

  /** There is a gap. @returns whether it may be healed now; else it waits */
  gap(now: number): boolean {
    if (now >= this.#at) return true;
    this.#wanted = true;
    return false;
  }

  /** A snapshot is asked for. */
  begin(now: number): void {
    this.#wanted = false;
    this.#at = now + this.#delay;
    this.#delay = Math.min(this.#delay * 2, MAX_HEAL_DELAY);
  }

  /** The server counts as this client does: the next gap is a loss, and healed at once. */
  agree(): void {
    this.#delay = HEAL_DELAY;
  }

  /** Another server, or the same anew: its snapshot heals everything. */
  forget(): void {
    this.#wanted = false;
  }
}
