/** How long to wait before the next attempt: doubled each time up to a bound, and half of it by chance. */

/** Doublings that are counted: past them a number is no longer exact, and any bound is reached. */
const MAX_DOUBLINGS = 30;

/**
 * @param attempts that failed before this one, from 0
 * @param first ms at most before the first
 * @param longest ms, where the doubling ends
 * @param random from 0 up to 1: callers that failed together do not all come back together
 */
export function backOff(attempts: number, first: number, longest: number, random: () => number): number {
  return Math.min(first * 2 ** Math.min(attempts, MAX_DOUBLINGS), longest) * (0.5 + random() / 2);
}
