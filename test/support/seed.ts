/**
 * Where the random numbers of tests come from, for all of them: properties, simulations, fuzzing, chaos.
 *
 *   (nothing)           seeds that are the same in every run, and a small share that the day chooses (UTC)
 *   SHOAL_SEED=random   all from a seed that nobody has tried: looks for what is not known yet
 *   SHOAL_SEED=N        this one alone, as a failure printed it
 *
 * How much is tried is a count, never a time: a seed does the same on every machine.
 */
import { randomInt } from "node:crypto";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

/** The seed of every run that asks for no other. */
export const FIXED_SEED = 20_260_101;

/** Seeds are below this: 32 bits, without a sign, as fast-check takes them. */
const SEEDS = 0x7fff_ffff;

/** The day's schedules have consecutive seeds; those of two days are never the same. */
const SEEDS_OF_A_DAY = 100;

export interface Seeds {
  /** What most of a run comes from. */
  readonly base: number;
  /** What the day's share comes from; `undefined` where a seed was given. */
  readonly day: number | undefined;
  /** `base` was given: tests of many seeds try this one alone. */
  readonly given: boolean;
}

/**
 * @param asked SHOAL_SEED
 * @throws Error for what is neither a seed nor "random"
 */
export function parseSeed(asked: string | undefined, today = new Date()): Seeds {
  if (asked === undefined || asked === "") return { base: FIXED_SEED, day: seedOfDay(today), given: false };
  if (asked === "random") return { base: randomInt(SEEDS), day: undefined, given: false };
  const base = Number(asked);
  if (!/^\d+$/.test(asked) || base > SEEDS)
    throw new Error(`SHOAL_SEED is a whole number up to ${SEEDS}, or "random"; got ${JSON.stringify(asked)}`);
  return { base, day: undefined, given: true };
}

/** As 20260131 × 100, in 31 bits: the years wrap around after two decades. */
export function seedOfDay(today: Date): number {
  const date = today.getUTCFullYear() * 10_000 + (today.getUTCMonth() + 1) * 100 + today.getUTCDate();
  return (date * SEEDS_OF_A_DAY) % SEEDS;
}

/** Those of this run. */
export const SEEDS_NOW: Seeds = parseSeed(process.env.SHOAL_SEED);

/** How many runs of the day's seed go with `count` of the fixed one; none where a seed was given. */
export function shareOfDay(count: number): number {
  return SEEDS_NOW.day === undefined ? 0 : Math.min(SEEDS_OF_A_DAY, Math.ceil(count / 10));
}

/** The command that repeats a failure of the test that runs now; what failed in a long form is not always in a short one. */
export function replayCommand(seed: number): string {
  const { testPath = "", currentTestName = "" } = expect.getState();
  const file = relative(fileURLToPath(new URL("../..", import.meta.url)), testPath);
  const name = (currentTestName.split(" > ").at(-1) ?? "").replace(/[.*+?^${}()|[\]\\]/g, ".");
  const long = process.env.SHOAL_LONG === "1" ? "SHOAL_LONG=1 " : "";
  return `${long}SHOAL_SEED=${seed} npx vitest run ${file} -t '${name.replaceAll("'", ".")}'`;
}
