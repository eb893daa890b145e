/**
 * Runs a story under many seeds. A failing one prints its seed and what happened;
 * `SHOAL_SEED=123 npx vitest run FILE` repeats it alone.
 */
import { Simulation } from "./simulation.js";

/** Seeds tried behind SHOAL_LONG=1, in one test. */
export const LONG_SCHEDULES = 10_000;

/** Lines of the trace that a failure prints: its end. */
const PRINTED = 400;

/** ms that one test may take to try seeds in a default run. */
const DEFAULT_BUDGET = 8_000;

/**
 * @param story lets things happen in the simulation, and throws what it finds wrong
 * @param options first: the first seed; budget: ms in a default run
 * @returns how many seeds were tried
 */
export function runSchedules(
  story: (simulation: Simulation) => void,
  options: { readonly first?: number; readonly budget?: number } = {},
): number {
  const only = process.env.SHOAL_SEED;
  if (only !== undefined && only !== "") {
    runOne(story, Number(only));
    return 1;
  }
  const { first = 1, budget = DEFAULT_BUDGET } = options;
  const long = process.env.SHOAL_LONG === "1";
  const end = long ? Number.POSITIVE_INFINITY : performance.now() + budget;
  let tried = 0;
  while (tried < LONG_SCHEDULES && (tried === 0 || performance.now() < end)) {
    runOne(story, first + tried);
    tried += 1;
  }
  return tried;
}

function runOne(story: (simulation: Simulation) => void, seed: number): void {
  const simulation = new Simulation(seed);
  try {
    story(simulation);
  } catch (cause) {
    const lines = simulation.trace.split("\n").slice(-PRINTED);
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Seed ${seed}: ${what}\n${lines.join("\n")}`, { cause });
  }
}
