/**
 * Confidence intervals without a model of the noise (percentile bootstrap): runs are drawn again with replacement,
 * and the middle 95 % of the figures of all draws are the interval. Medians are used since a disturbed run is far out
 * and would distort a mean. Pure: the generator has a fixed seed, so the same runs give the same report.
 */
import { median, quantile } from "./summary.js";

export interface Interval {
  /** Figure of the runs themselves. */
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
 * Ratio of the figures of two implementations that ran in turn: the median of the ratios of the rounds, so that
 * disturbances of a whole round cancel out. Uses the rounds that both have.
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

/** Ratio of the medians, for runs without common rounds, such as those of two files. */
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

/** Half the width of an interval as a share of its value; infinite if that is undefined. */
export function halfWidth({ value, low, high }: Interval): number {
  const share = (high - low) / 2 / Math.abs(value);
  return Number.isFinite(share) ? share : Number.POSITIVE_INFINITY;
}
