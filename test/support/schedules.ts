/**
 * Runs a story under many seeds: the same in every run (seed.ts). One that fails is made smaller
 * (src/testing/random.ts), and what happened in it is printed with the command that repeats it.
 */

import { Random, shrink, TapeOverrun } from "../../src/testing/random.js";
import { Simulation } from "../../src/testing/simulation.js";
import { LONG } from "./long.js";
import { FIXED_SEED, replayCommand, SEEDS_NOW } from "./seed.js";

/** Seeds that one test tries in the long form, at least: each night has others. */
const LONG_SCHEDULES = 250;

/** ms that a test of schedules may take: a bound for what hangs. */
export const SCHEDULES_TIMEOUT = LONG ? 1_200_000 : 120_000;

/** Lines of the trace that a failure prints: its end. */
const PRINTED = 400;

type Story = (simulation: Simulation) => void;

export interface Schedules {
  /** How many in a default run. */
  readonly count: number;
  /** The first seed, where two stories should not have the same. Default 1. */
  readonly first?: number;
}

/**
 * @param story lets things happen in the simulation, and throws what it finds wrong
 * @returns how many seeds were tried
 */
export function runSchedules(story: Story, { count, first = 1 }: Schedules): number {
  const seeds = seedsOf(LONG ? Math.max(LONG_SCHEDULES, count) : count, first);
  for (const seed of seeds) {
    try {
      story(new Simulation(new Random(seed)));
    } catch (cause) {
      throw new Error(report(story, seed, cause), { cause });
    }
  }
  return seeds.length;
}

function seedsOf(count: number, first: number): readonly number[] {
  const { base, given } = SEEDS_NOW;
  if (given) return [base];
  // "random" has a base of its own; the fixed seeds are small numbers, which are easier to talk about.
  const start = base === FIXED_SEED ? first : base;
  return Array.from({ length: count }, (_, i) => start + i);
}

/** What a run of a story came to. */
interface Run {
  readonly simulation: Simulation;
  readonly failure: string | undefined;
}

function runOne(story: Story, source: number | readonly number[]): Run {
  const simulation = new Simulation(new Random(source, true));
  try {
    story(simulation);
    return { simulation, failure: undefined };
  } catch (error) {
    const failure = error instanceof TapeOverrun ? undefined : messageOf(error);
    return { simulation, failure };
  }
}

function report(story: Story, seed: number, cause: unknown): string {
  const kind = kindOf(messageOf(cause));
  const recorded = runOne(story, seed).simulation.random.choices ?? [];
  const smallest = shrink(recorded, (choices) => {
    const { failure } = runOne(story, choices);
    return failure !== undefined && kindOf(failure) === kind;
  });
  const { simulation, failure } = runOne(story, smallest);
  const lines = simulation.trace.split("\n");
  return [
    `Seed ${seed}: ${messageOf(cause)}`,
    `Repeat it with: ${replayCommand(seed)}`,
    failure === undefined
      ? "It could not be made smaller: it depends on more than its random numbers."
      : `Shrunk from ${recorded.length} choices to ${smallest.length}: ${failure}`,
    ...lines.slice(-PRINTED),
  ].join("\n");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Failures that differ in their numbers alone are of one kind. */
function kindOf(message: string): string {
  return (message.split("\n")[0] ?? "").replace(/\d+/g, "#");
}
