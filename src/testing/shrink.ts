/**
 * Shrinks a failing run by simpler choices: drops the tape's end, then pieces (an action, a fault), zeroes pieces, and
 * lowers single choices. Attempts that fail alike become the new base.
 */

/** Attempts, and their total ms; one takes from under 1 to some hundred ms. */
const ATTEMPTS = 1_000;
const PATIENCE = 15_000;

/** Steps towards a choice's smallest failing value. */
const BISECTIONS = 5;

/** The global clock is virtual in a simulation. */
const realNow = performance.now.bind(performance);

export interface ShrinkLimits {
  /** Most runs. Default 1,000. */
  readonly attempts?: number;
  /** Most real ms in total. Default 15,000. */
  readonly patience?: number;
}

/**
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
