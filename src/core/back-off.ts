/** Exponential back-off; half of each wait is random. */

/** Larger powers of two reach any bound. */
const MAX_DOUBLINGS = 30;

/**
 * @param first ms; upper bound of the first wait
 * @param longest ms; upper bound of every wait @param random from 0 up to 1
 */
export function backOff(attempts: number, first: number, longest: number, random: () => number): number {
  return Math.min(first * 2 ** Math.min(attempts, MAX_DOUBLINGS), longest) * (0.5 + random() / 2);
}
