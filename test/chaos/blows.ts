/**
 * How many kills (-9) and stops (SIGSTOP, SIGCONT) the chaos tests deal. One run of them all deals at least 100; with
 * SHOAL_LONG=1 each deals about 1,000, and SHOAL_CHAOS=N sets another number for each.
 */

/** Blows of the default run. A stop is cheap, the start after a kill is not: most of Majordomo's are stops. */
const DEFAULTS = { majordomo: 50, pirate: 26, titanic: 8, "binary-star": 8, freelance: 8 } as const;

export type ChaosTest = keyof typeof DEFAULTS;

export const CHAOS_TESTS = Object.keys(DEFAULTS) as ChaosTest[];

export const LONG = process.env.SHOAL_LONG === "1";

/** ms until a wait has failed: a program may wait for the processor for long before it starts. */
export const PATIENCE = LONG ? 60_000 : 20_000;

/** What SHOAL_CHAOS asks for; `undefined`: nothing. @throws Error for what is not a number of blows */
function givenBlows(): number | undefined {
  const asked = process.env.SHOAL_CHAOS ?? "";
  if (asked === "") return undefined;
  if (!/^[1-9]\d{0,5}$/.test(asked))
    throw new Error(`SHOAL_CHAOS is a number of kills and stops, 1 to 999999; got ${JSON.stringify(asked)}`);
  return Number(asked);
}

/** How many blows a chaos test deals in this run; every chaos test asks here. @param usual of the default run @param long of SHOAL_LONG=1 */
export function blowsFor(usual: number, long: number): number {
  return givenBlows() ?? (LONG ? long : usual);
}

/** The same for the tests that deal at least 100 together. */
export function blowsOf(test: ChaosTest): number {
  // A pair is killed twice as slowly as anything else.
  return blowsFor(DEFAULTS[test], test === "binary-star" || test === "freelance" ? 500 : 1_000);
}

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
  tell(test: ChaosTest): void {
    console.info(`${test}: ${this}`);
  }

  toString(): string {
    const parts = [...this.#counts].map(([what, count]) => `${what} ${count}`);
    return `${this.total} kills and stops: ${parts.sort().join(", ")}`;
  }
}
