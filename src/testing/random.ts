/** Random choices of a run: drawn from a seed, recorded, repeated, and shrunk to simpler ones that fail alike. */

/** Attempts, and their total ms; one takes from under 1 to some hundred ms. */
const ATTEMPTS = 1_000;
const PATIENCE = 15_000;
/** Steps towards a choice's smallest failing value. */
const BISECTIONS = 5;
/** The global clock is virtual in a simulation. */
const realNow = performance.now.bind(performance);

/**
 * Random numbers from a seed, or from a recorded tape of choices, so that runs shrink.
 *
 * A choice is a number from 0 up to 1, smaller is simpler: 0 is a range's minimum, the first item, and `false`, so no
 * choices mean no faults.
 *
 * @example
 * ```ts
 * import { Random } from "shoal/testing";
 *
 * const [one, two] = [new Random(7), new Random(7)];
 * console.log(one.integer(0, 1_000) === two.integer(0, 1_000)); // true
 * ```
 */
export class Random {
  #state: number;
  readonly #tape: readonly number[] | undefined;
  readonly #limit: number;
  #read = 0;
  /** The choices so far, if recorded. */
  readonly choices: number[] | undefined;

  /**
   * @param source a seed, or choices to repeat before zeros
   * @param limit choices until a tape throws TapeOverrun, since a run without random numbers may not end
   */
  constructor(source: number | readonly number[], record = false, limit?: number) {
    this.#state = typeof source === "number" ? source >>> 0 : 0;
    this.#tape = typeof source === "number" ? undefined : source;
    this.#limit = limit ?? 4 * (this.#tape?.length ?? 0) + 10_000;
    this.choices = record ? [] : undefined;
  }

  next(): number {
    const choice = this.#tape === undefined ? this.#mix() : this.#fromTape();
    this.choices?.push(choice);
    return choice;
  }

  /** Both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    // A choice of 0 is `false` for any probability.
    return this.next() > 1 - probability;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error("Nothing to pick from");
    return items[this.integer(0, items.length - 1)] as T;
  }

  /** Mixes a counter; period 2³². */
  #mix(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(this.next() * 256);
  }

  #fromTape(): number {
    const choice = this.#tape?.[this.#read++] ?? 0;
    if (this.#read > this.#limit) throw new TapeOverrun();
    return choice;
  }
}

/** Makes parts of a run draw independently. */
export function seedFor(seed: number, name: string): number {
  let hash = (seed ^ 0x811c9dc5) >>> 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return new Random(hash).integer(0, 0xffff_ffff);
}

/** The story needs random numbers to end, which shows nothing about the tested code. */
export class TapeOverrun extends Error {}

export interface ShrinkLimits {
  /** Most runs. Default 1,000. */
  readonly attempts?: number;
  /** Most real ms in total. Default 15,000. */
  readonly patience?: number;
}

/**
 * Shrinks a failing run by simpler choices: drops the tape's end, then pieces (an action, a fault), zeroes pieces, and
 * lowers single choices. Attempts that fail alike become the new base.
 *
 * @param choices of a failing run
 * @param fails whether a run with these choices fails in the same way
 * @returns failing choices, at most as many as given
 */
export function shrink(
  choices: readonly number[],
  fails: (choices: readonly number[]) => boolean,
  limits: ShrinkLimits = {},
): readonly number[] {
  const search = candidates(choices, limits);
  let next = search.next();
  while (next.done !== true) next = search.next(fails(next.value));
  return next.value;
}

export async function shrinkAsync(
  choices: readonly number[],
  fails: (choices: readonly number[]) => Promise<boolean>,
  limits: ShrinkLimits = {},
): Promise<readonly number[]> {
  const search = candidates(choices, limits);
  let next = search.next();
  while (next.done !== true) next = search.next(await fails(next.value));
  return next.value;
}

function* candidates(
  choices: readonly number[],
  { attempts = ATTEMPTS, patience = PATIENCE }: ShrinkLimits,
): Generator<readonly number[], readonly number[], boolean> {
  let best = choices;
  let left = attempts;
  const end = realNow() + patience;
  function* attempt(candidate: readonly number[]): Generator<readonly number[], boolean, boolean> {
    if (left <= 0) return false;
    left = realNow() < end ? left - 1 : 0;
    if (!(yield candidate)) return false;
    best = candidate;
    return true;
  }
  for (let before: readonly number[] | undefined; before !== best && left > 0; ) {
    before = best;
    while (best.length > 0 && (yield* attempt(best.slice(0, best.length >> 1))));
    for (const [at, size] of pieces(() => best.length))
      yield* attempt([...best.slice(0, at), ...best.slice(at + size)]);
    for (const [at, size] of pieces(() => best.length)) {
      if (best.slice(at, at + size).every((choice) => choice === 0)) continue;
      yield* attempt(best.map((choice, i) => (i >= at && i < at + size ? 0 : choice)));
    }
    for (let i = 0; i < best.length && left > 0; i++) {
      // Halves while that fails, then bisects.
      while ((best[i] as number) > 0.001 && (yield* attempt(best.with(i, (best[i] as number) / 2))));
      let passes = (best[i] as number) / 2;
      for (let step = 0; step < BISECTIONS && (best[i] as number) > 0.001; step++) {
        const middle = (passes + (best[i] as number)) / 2;
        if (!(yield* attempt(best.with(i, middle)))) passes = middle;
      }
    }
  }
  return best;
}

function* pieces(length: () => number): Generator<[at: number, size: number]> {
  for (let size = length() >> 1; size > 0; size >>= 1) {
    for (let at = length() - size; at >= 0; at -= size) yield [at, size];
  }
}
