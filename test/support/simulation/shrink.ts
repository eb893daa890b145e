/**
 * Makes a failing run smaller. What a story does is given by its random choices, so simpler choices are a simpler story:
 * first the end of the tape goes, then whole pieces of it (an action, a fault), then pieces become zeros, then single
 * choices become smaller. Each attempt that fails in the same way is gone on with.
 */

/** Attempts at most, and ms that they may take together; a schedule takes from under one to some hundred ms. */
const ATTEMPTS = 1_000;
const PATIENCE = 15_000;

/**
 * @param choices of a run that fails
 * @param fails whether a run with other choices fails in the same way
 * @returns choices that fail, no more than those given
 */
export function shrink(
  choices: readonly number[],
  fails: (choices: readonly number[]) => boolean,
  attempts = ATTEMPTS,
): readonly number[] {
  let best = choices;
  let left = attempts;
  const end = performance.now() + PATIENCE;
  const attempt = (candidate: readonly number[]): boolean => {
    if (left <= 0) return false;
    left = performance.now() < end ? left - 1 : 0;
    if (!fails(candidate)) return false;
    best = candidate;
    return true;
  };
  for (let before: readonly number[] | undefined; before !== best && left > 0; ) {
    before = best;
    while (best.length > 0 && attempt(best.slice(0, best.length >> 1)));
    eachPiece((at, size) => attempt([...best.slice(0, at), ...best.slice(at + size)]));
    eachPiece((at, size) => {
      if (best.slice(at, at + size).every((choice) => choice === 0)) return false;
      return attempt(best.map((choice, i) => (i >= at && i < at + size ? 0 : choice)));
    });
    for (let i = 0; i < best.length && left > 0; i++) {
      while ((best[i] as number) > 0.001 && attempt(best.with(i, (best[i] as number) / 2)));
    }
  }
  return best;

  /** Pieces of half the tape, a quarter and so on, the last first. */
  function eachPiece(cut: (at: number, size: number) => boolean): void {
    for (let size = best.length >> 1; size > 0; size >>= 1) {
      for (let at = best.length - size; at >= 0 && left > 0; at -= size) cut(at, size);
    }
  }
}
