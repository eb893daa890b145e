/**
 * Where the random numbers of tests come from, for all of them: properties, simulations, fuzzing, chaos.
 *
 *   (nothing)           the same in every run, so that what fails is what was changed
 *   SHOAL_SEED=random   from a seed that nobody has tried: looks for what is not known yet, every night
 *   SHOAL_SEED=N        this one alone, as a failure printed it
 *
 * How much is tried is a count, never a time: a seed does the same on every machine.
 */
import { randomInt } from "node:crypto";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { LONG } from "./long.js";

/** The seed of every run that asks for no other. */
export const FIXED_SEED = 20_260_101;

/** Seeds are below this: 32 bits, without a sign, as fast-check takes them. */
const SEEDS = 0x7fff_ffff;

export interface Seeds {
  /** What a run comes from. */
  readonly base: number;
  /** `base` was given: tests of many seeds try this one alone. */
  readonly given: boolean;
}

/**
 * @param asked SHOAL_SEED
 * @throws Error for what is neither a seed nor "random"
 */
export function parseSeed(asked: string | undefined): Seeds {
  if (asked === undefined || asked === "") return { base: FIXED_SEED, given: false };
  if (asked === "random") return { base: randomInt(SEEDS), given: false };
  const base = Number(asked);
  if (!/^\d+$/.test(asked) || base > SEEDS)
    throw new Error(
      `SHOAL_SEED must be a whole number up to ${SEEDS}, or "random"; got ${JSON.stringify(asked)}`,
    );
  return { base, given: true };
}

/** Those of this run. */
export const SEEDS_NOW: Seeds = parseSeed(process.env.SHOAL_SEED);

/** Whether a test may ask how often something happened in all its runs: with few random seeds that is chance. */
export function mayCount(runs: number): boolean {
  return !SEEDS_NOW.given && (runs >= 100 || SEEDS_NOW.base === FIXED_SEED);
}

/** The command that repeats a failure of the test that runs now; what failed in a long form is not always in a short one. */
export function replayCommand(seed: number): string {
  const { testPath = "", currentTestName = "" } = expect.getState();
  const file = relative(fileURLToPath(new URL("../..", import.meta.url)), testPath);
  const name = (currentTestName.split(" > ").at(-1) ?? "").replace(/[.*+?^${}()|[\]\\]/g, ".");
  const long = LONG ? "SHOAL_LONG=1 " : "";
  return `${long}SHOAL_SEED=${seed} npx vitest run ${file} -t '${name.replaceAll("'", ".")}'`;
}
