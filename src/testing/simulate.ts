/** Runs stories under seeds, and shrinks failing ones. */

import { randomInt } from "node:crypto";
import { thrownText } from "../core/arguments.js";
import { InvalidArgumentError, ShoalError } from "../core/errors.js";
import { loadCurveBox } from "../engine/zmtp/mechanism/curve-primitives.js";
import { setPlatformStandIn } from "../engine/zmtp/transport/transports.js";
import { boolean, checkOptions, type Given, integer, object } from "../kit/options.js";
import { setStandIn } from "../sockets/context.js";
import { SimulatedDatagrams } from "./datagrams.js";
import { currentPlatform, machineOf } from "./engine.js";
import type { LinkOptions } from "./fabric.js";
import { replaceGlobals } from "./globals.js";
import { contextNow } from "./node.js";
import { Random, seedFor, shrinkAsync, TapeOverrun } from "./random.js";
import { scopes } from "./scope.js";
import { checkLink, World } from "./world.js";

/** A test of a world: starts nodes, injects faults, throws for an error. */
export type Story<T = unknown> = (world: World) => Promise<T> | T;

const SEEDS = 0x8000_0000;
const LONGEST = Number.MAX_SAFE_INTEGER;

const OPTIONS = {
  /** First seed, 0 to 2,147,483,647. Default 1. `SHOAL_SEED=N` in the environment runs only N. */
  seed: integer({ default: 1, min: 0, max: SEEDS - 1 }),
  /** Consecutive seeds to run. Default 1. */
  runs: integer({ default: 1, max: LONGEST }),
  /** Options of every link. Default: 0.1 to 1 ms without faults. */
  network: object<LinkOptions>(),
  /** Most virtual ms of a run. Default 3,600,000. */
  limit: integer({ default: 3_600_000, max: LONGEST }),
  /** Most events of a run. Default 10,000,000. */
  maxEvents: integer({ default: 10_000_000, max: LONGEST }),
  /** Start of wall clocks, ms since 1970. Default 2026-01-01T00:00Z. */
  startTime: integer({ default: 1_767_225_600_000, max: LONGEST }),
  /** Runs each seed twice, and fails for different runs. Default false. */
  checkDeterminism: boolean(false),
  /** Shrinks a failing run. Default true. */
  shrink: boolean(true),
  /** Lines of the trace. Default 400. */
  traceLines: integer({ default: 400, min: 0, max: LONGEST }),
};

/** Options of {@link simulate}. */
export type SimulateOptions = Given<typeof OPTIONS>;

export interface SimulationReport<T> {
  readonly value: T;
  readonly seed: number;
  readonly runs: number;
  /** Virtual ms. */
  readonly time: number;
  readonly events: number;
  /** Digest of all events and received bytes; equal for equal runs. */
  readonly digest: string;
  readonly trace: string;
}

const PRINTED = 60;
const SHRINK_EVENTS = 2;
const NO_FAULT_CHOICES = Number.POSITIVE_INFINITY;

/** A story failed under a `seed`; `cause` is what it threw, `trace` what happened. Code `ERR_SIMULATION`. */
export class SimulationError extends ShoalError {
  readonly seed: number;
  readonly trace: string;

  constructor(message: string, seed: number, trace: string, cause: unknown) {
    super("ERR_SIMULATION", message, { cause });
    this.seed = seed;
    this.trace = trace;
  }
}

/**
 * Runs a story in virtual time: timers, clocks, random numbers and sockets of story and nodes are simulated, and equal
 * seeds give equal runs. Simulations may be concurrent; code outside is unaffected.
 *
 * @returns the last run
 * @throws InvalidArgumentError `EINVAL`; SimulationError `ERR_SIMULATION` when story or program throws, an error is not
 *   handled, or a limit is reached
 */
export async function simulate<T>(options: SimulateOptions, story: Story<T>): Promise<SimulationReport<T>> {
  const { runs, ...settings } = settingsOf(options, story);
  const seeds = seedsOf(settings.seed, runs);
  try {
    // CURVE handshakes would wait for it in real time, outside the seed.
    await loadCurveBox();
  } catch {
    // Sockets with CURVE and clusters with a key report the reason.
  }
  const restore = replaceGlobals((scope, [given, onMessage]) => {
    return new SimulatedDatagrams(machineOf(scope), scope, given, onMessage);
  });
  setStandIn(contextNow);
  setPlatformStandIn(currentPlatform);
  try {
    let last: Run<T> | undefined;
    for (const seed of seeds) last = await runSeed(story, { ...settings, seed });
    const { world, outcome } = last as Run<T>;
    const { now, events, digest, trace } = world;
    return {
      value: (outcome as { readonly value: T }).value,
      seed: world.seed,
      runs: seeds.length,
      time: now,
      events,
      digest,
      trace,
    };
  } finally {
    restore();
  }
}

type Settings = Omit<ReturnType<typeof settingsOf>, "runs">;

interface Run<T> {
  readonly world: World;
  readonly outcome: { readonly value: T } | { readonly error: unknown };
}

function settingsOf(options: SimulateOptions, story: unknown) {
  if (typeof story !== "function")
    throw new InvalidArgumentError(`simulate must be given options and a function; got ${typeof story}`);
  const settings = checkOptions("simulate", OPTIONS, options);
  return { ...settings, network: checkLink(settings.network ?? {}) };
}

function seedsOf(first: number, runs: number): readonly number[] {
  const { SHOAL_SEED: asked = "" } = process.env;
  if (asked === "" || asked === "random") {
    const start = asked === "" ? first : randomInt(SEEDS);
    return Array.from({ length: runs }, (_, i) => (start + i) % SEEDS);
  }
  const seed = Number(asked);
  if (!/^\d+$/.test(asked) || seed >= SEEDS)
    throw new InvalidArgumentError(
      `SHOAL_SEED must be a whole number below ${SEEDS}, or "random"; got ${asked}`,
    );
  return [seed];
}

interface Choices {
  readonly story: Random;
  readonly quiet: boolean;
}

async function runOnce<T>(
  story: Story<T>,
  settings: Settings,
  { story: random, quiet }: Choices,
): Promise<Run<T>> {
  const { seed, network: links, limit, maxEvents, startTime, traceLines } = settings;
  const network = quiet ? new Random([], false, NO_FAULT_CHOICES) : new Random(seedFor(seed, "network"));
  const world = new World({ seed, random, network, links, limit, maxEvents, startTime, traceLines });
  const onRejection = (error: unknown): void => {
    const scope = scopes.getStore();
    if (scope !== undefined && scope.schedule !== world.schedule) return;
    world.fail(error, "an unhandled rejection");
  };
  process.on("unhandledRejection", onRejection);
  try {
    return { world, outcome: { value: await world.run(story) } };
  } catch (error) {
    return { world, outcome: { error } };
  } finally {
    process.off("unhandledRejection", onRejection);
  }
}

async function runSeed<T>(story: Story<T>, settings: Settings): Promise<Run<T>> {
  const { seed, checkDeterminism } = settings;
  const once = (record: boolean): Promise<Run<T>> =>
    runOnce(story, settings, { story: new Random(seedFor(seed, "story"), record), quiet: false });
  const run = await once(false);
  if ("error" in run.outcome) throw await failureOf(story, settings, run, run.outcome.error, once);
  if (checkDeterminism) {
    const again = await once(false);
    if (again.world.digest !== run.world.digest) throw differing(seed, run.world, again.world);
  }
  return run;
}

async function failureOf<T>(
  story: Story<T>,
  settings: Settings,
  run: Run<T>,
  error: unknown,
  once: (record: boolean) => Promise<Run<T>>,
): Promise<SimulationError> {
  const { seed } = settings;
  const head = [
    `Seed ${seed}: ${thrownText(error)}`,
    `Repeat it with SHOAL_SEED=${seed} in the environment.`,
  ];
  const report = (world: World, ...more: string[]): SimulationError => {
    const lines = world.trace.split("\n").slice(-PRINTED);
    return new SimulationError([...head, ...more, ...lines].join("\n"), seed, world.trace, error);
  };
  if (!settings.shrink) return report(run.world);
  const recorded = (await once(true)).world.random.choices ?? [];
  const kind = kindOf(error);
  const small: Settings = { ...settings, maxEvents: Math.max(10_000, SHRINK_EVENTS * run.world.events) };
  const attempt = (choices: readonly number[], quiet: boolean): Promise<Run<T>> =>
    runOnce(story, small, { story: new Random(choices), quiet });
  const fails = ({ outcome }: Run<T>): boolean =>
    "error" in outcome && !(outcome.error instanceof TapeOverrun) && kindOf(outcome.error) === kind;
  // Network faults go first, if the story fails without them.
  const quiet = fails(await attempt(recorded, true));
  const smallest = await shrinkAsync(recorded, async (choices) => fails(await attempt(choices, quiet)));
  const { world, outcome } = await attempt(smallest, quiet);
  if (!("error" in outcome) || kindOf(outcome.error) !== kind)
    return report(run.world, "It did not fail again: it depends on more than the seed.");
  const where = quiet ? ", and fails on a network without faults, too" : "";
  const size = `Shrunk from ${recorded.length} choices to ${smallest.length}${where}`;
  return report(world, `${size}: ${thrownText(outcome.error)}`);
}

function differing(seed: number, one: World, other: World): SimulationError {
  const [first, second] = [one.trace.split("\n"), other.trace.split("\n")];
  const at = first.findIndex((line, i) => line !== second[i]);
  const where =
    at < 0
      ? `their traces are equal, but not their events: ${one.events} and ${other.events} events`
      : `first here:\n${first[at] ?? "(nothing)"}\n${second[at] ?? "(nothing)"}`;
  const message = `Seed ${seed}: two runs differ, ${where}\nThe story uses something that is not simulated.`;
  return new SimulationError(message, seed, one.trace, undefined);
}

/** Failures that differ in numbers are of one kind. */
function kindOf(error: unknown): string {
  return (thrownText(error).split("\n")[0] ?? "").replace(/\d+/g, "#");
}
