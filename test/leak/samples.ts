/**
 * What a process holds, batch after batch, until it has levelled off. A leak
 * grows forever; caches, pools, the compiler and malloc's arenas grow for a
 * while, for how long differs from run to run. So a fixed number of batches
 * would have to fail on the slow ones or pass small leaks: the program goes on
 * until its last samples are level, and a leak is a program that never gets there.
 */
import { Child } from "../process/child.js";

/** How many of the last samples have to be level. */
const WINDOW = 7;

export interface Sampling {
  readonly program: string;
  /** Batches before the first look. */
  readonly warmUp: number;
  /** Batches after which what still grows is a leak. */
  readonly most: number;
  readonly perBatch: number;
  /** The most that one of the things made may leave behind, in bytes, by the field of a sample. */
  readonly bounds: Readonly<Record<string, number>>;
  /** ms for all of it. */
  readonly limit: number;
}

export type Sample = Readonly<Record<string, number>>;

export interface Samples {
  readonly all: readonly Sample[];
  /** The last ones: level, unless there is a leak. */
  readonly window: readonly Sample[];
  /** The growth of each bounded field over the window, bytes for each thing made. */
  readonly growth: Sample;
}

/** Runs the program, which prints a sample a batch and ends after a line on its standard input. */
export async function sampled(sampling: Sampling): Promise<Samples> {
  const { program, warmUp, most, perBatch, bounds, limit } = sampling;
  // A call that waits for a peer warns after a while, which on a busy machine is no fault.
  const node = ["--expose-gc", "--no-warnings", "--unhandled-rejections=strict"];
  const child = new Child(process.execPath, [...node, program, String(most), String(perBatch)], { limit });
  const all: Sample[] = [];
  for (;;) {
    all.push(JSON.parse(await child.line()));
    const window = all.slice(-WINDOW);
    const growthOf = (field: string) => trend(window.map((sample) => sample[field] as number)) / perBatch;
    const growth = Object.fromEntries(Object.keys(bounds).map((field) => [field, growthOf(field)]));
    const level = Object.entries(growth).every(([field, grown]) => grown < (bounds[field] as number));
    if (all.length < most && (all.length < warmUp + WINDOW || !level)) continue;
    child.tell("enough");
    const outcome = await child.outcome;
    if (outcome.code !== 0 || outcome.stderr !== "")
      throw new Error(`Ended with ${outcome.code}:\n${outcome.stderr}`);
    return { all, window, growth };
  }
}

/** The slope of a line through the samples, per batch. */
function trend(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  let products = 0;
  let squares = 0;
  for (const [index, value] of values.entries()) {
    products += (index - middle) * value;
    squares += (index - middle) ** 2;
  }
  return products / squares;
}
