/**
 * When a case has been run often enough. Pure.
 *
 * Looking again after each round and stopping at the first narrow interval makes intervals a little too narrow; the
 * least number of rounds keeps that small, and compare.ts has a threshold on top.
 */
import { halfWidth, pairedRatio } from "./bootstrap.js";

export interface StoppingRule {
  /** Rounds before the intervals are looked at. */
  readonly leastRounds: number;
  readonly mostRounds: number;
  /** Seconds for one case. */
  readonly seconds: number;
  /** Narrow enough: half the width of each ratio's interval, as a share of the ratio. */
  readonly narrow: number;
}

export type StopReason = "narrow" | "rounds" | "time";

/**
 * @param samples the metric of each contender, one value a round
 * @param reference the name of the contender that the others are compared with; without one the first
 * @returns undefined: another round
 */
export function whyStop(
  rule: StoppingRule,
  samples: ReadonlyMap<string, readonly number[]>,
  reference: string | undefined,
  elapsedSeconds: number,
): StopReason | undefined {
  const rounds = Math.max(0, ...[...samples.values()].map((values) => values.length));
  if (rounds >= rule.mostRounds) return "rounds";
  if (rounds >= rule.leastRounds && isNarrow(rule.narrow, samples, reference)) return "narrow";
  return elapsedSeconds >= rule.seconds ? "time" : undefined;
}

function isNarrow(
  narrow: number,
  samples: ReadonlyMap<string, readonly number[]>,
  reference: string | undefined,
): boolean {
  const [first] = samples.keys();
  const base = samples.get(reference ?? "") ?? samples.get(first ?? "") ?? [];
  // Alone, a contender is compared with its own middle run.
  const others = [...samples.values()].filter((values) => values !== base);
  if (others.length === 0)
    return (
      halfWidth(
        pairedRatio(
          base,
          base.map(() => 1),
        ),
      ) <= narrow
    );
  return others.every((values) => halfWidth(pairedRatio(values, base)) <= narrow);
}
