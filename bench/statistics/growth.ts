/**
 * Growth of a cost with the work: cost = coefficient * n^exponent, fitted by least squares on the logarithms, so that
 * small and large cases have equal weight. Pure.
 */

export interface Point {
  readonly n: number;
  readonly cost: number;
}

export interface Growth {
  readonly exponent: number;
  readonly coefficient: number;
  /** Share of the variance that the fit explains, 0 … 1; 1 without variance. */
  readonly r2: number;
}

/** @returns `undefined` for fewer than four different `n`, since nearly everything fits three points */
export function fitGrowth(points: readonly Point[]): Growth | undefined {
  const usable = points.filter(
    ({ n, cost }) => n > 0 && cost > 0 && Number.isFinite(n) && Number.isFinite(cost),
  );
  if (new Set(usable.map(({ n }) => n)).size < 4) return undefined;
  const xs = usable.map(({ n }) => Math.log(n));
  const ys = usable.map(({ cost }) => Math.log(cost));
  const meanX = mean(xs);
  const meanY = mean(ys);
  let sxx = 0;
  let sxy = 0;
  let syy = 0;
  for (const [i, x] of xs.entries()) {
    const y = ys[i] as number;
    sxx += (x - meanX) ** 2;
    sxy += (x - meanX) * (y - meanY);
    syy += (y - meanY) ** 2;
  }
  const exponent = sxy / sxx;
  return {
    exponent,
    coefficient: Math.exp(meanY - exponent * meanX),
    r2: syy < 1e-18 ? 1 : sxy ** 2 / (sxx * syy),
  };
}

/** Describes the effect of doubling the work. */
export function describeGrowth({ exponent, r2 }: Growth): string {
  const shape =
    exponent < 0.1
      ? exponent > -0.1
        ? "does not grow"
        : "falls"
      : exponent < 0.9
        ? "grows slower than the work"
        : exponent <= 1.1
          ? "grows with the work"
          : "grows faster than the work";
  return `${shape}: n^${exponent.toFixed(2)} (twice the work, ${(2 ** exponent).toFixed(2)} × the cost; R² ${r2.toFixed(2)})`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
