/** The kills (-9) and stops (SIGSTOP, SIGCONT) that chaos tests deal. */
import { LONG } from "../support/long.js";

/** ms until a wait has failed: a program may wait for the processor for long before it starts. */
export const PATIENCE = LONG ? 60_000 : 20_000;

/** The blows of a run by what they were: `worker killed`, `broker stopped`. */
export class Blows {
  readonly #counts = new Map<string, number>();

  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
    // Shows that a long run continues.
    if (this.total % 100 === 0) console.info(`${this.total} kills and stops`);
  }

  /** Those whose name has this. */
  of(part: string): number {
    let sum = 0;
    for (const [what, count] of this.#counts) if (what.includes(part)) sum += count;
    return sum;
  }

  get total(): number {
    return this.of("");
  }

  /** Prints them: the log shows what was dealt. */
  tell(test: string): void {
    console.info(`${test}: ${this}`);
  }

  toString(): string {
    const parts = [...this.#counts].map(([what, count]) => `${what} ${count}`);
    return `${this.total} kills and stops: ${parts.sort().join(", ")}`;
  }
}
