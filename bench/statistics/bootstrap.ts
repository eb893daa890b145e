/**
 * Confidence intervals without a model of the noise: the runs are drawn again, with replacement, and the figure of each
 * draw is taken; the middle 95 % of those figures are the interval (the percentile bootstrap). Medians, because a run
 * that something disturbed is far out and would pull a mean. Pure: the draws come from a generator with a fixed seed,
 * so that the same runs give the same report.
 */
import { median, quantile } from "./summary.js";

export interface Interval {
  /** The figure of the runs themselves. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

const DRAWS = 1_000;
const CONFIDENCE = 0.95;

/** Whole numbers from 0 to below `n`, the same sequence each time (xorshift, 32 bits). */
export function draws(seed = 0x2545f491): (n: number) => number {
  let state = seed | 0 || 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * n);
  };
}

function resample(values: readonly number[], draw: (n: number) => number): number[] {
  return values.map(() => values[draw(values.length)] as number);
}

function intervalOf(value: number, figures: readonly number[], confidence: number): Interval {
  const tail = (1 - confidence) / 2;
  return { value, low: quantile(figures, tail), high: quantile(figures, 1 - tail) };
}

/** The median and its interval. */
export function medianInterval(values: readonly number[], confidence = CONFIDENCE): Interval {
  const draw = draws();
  const figures = Array.from({ length: DRAWS }, () => median(resample(values, draw)));
  return intervalOf(median(values), figures, confidence);
}

/**
 * How many times as large one contender's figure is as another's, run in turn: the median of the ratios of the
 * rounds, so that what slows a whole round cancels out. Takes as many rounds as both have.
 */
export function pairedRatio(
  values: readonly number[],
  reference: readonly number[],
  confidence = CONFIDENCE,
): Interval {
  const rounds = Math.min(values.length, reference.length);
  const ratios = Array.from({ length: rounds }, (_, i) => (values[i] as number) / (reference[i] as number));
  return medianInterval(ratios, confidence);
}

/** The same for runs that have no rounds in common, such as those of two files: the ratio of the medians. */
export function unpairedRatio(
  values: readonly number[],
  reference: readonly number[],
  confidence = CONFIDENCE,
): Interval {
  const draw = draws();
  const figures = Array.from(
    { length: DRAWS },
    () => median(resample(values, draw)) / median(resample(reference, draw)),
  );
  return intervalOf(median(values) / median(reference), figures, confidence);
}

/** Half the width of an interval as a share of its value; infinite where that has no meaning. */
export function halfWidth({ value, low, high }: Interval): number {
  const share = (high - low) / 2 / Math.abs(value);
  return Number.isFinite(share) ? share : Number.POSITIVE_INFINITY;
}
