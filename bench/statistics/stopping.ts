/**
 * Stopping rule of a case. Pure.
 *
 * Checking after each round and stopping at the first narrow interval makes intervals slightly too narrow. The
 * minimum number of rounds limits this, and compare.ts has a threshold in addition.
 */
import { halfWidth, pairedRatio } from "./bootstrap.js";

export interface StoppingRule {
  /** Rounds before intervals are checked. */
  readonly leastRounds: number;
  readonly mostRounds: number;
  /** Seconds for one case; a fixed number of rounds takes its time. */
  readonly seconds: number;
  /** Sufficient half width of each ratio's interval, as a share of the ratio. */
  readonly narrow: number;
}

/** Rounds that a ratio needs: two may agree by chance. Time does not end a case before. */
export const LEAST_ROUNDS = 3;

export type StopReason = "narrow" | "rounds" | "time";

/**
 * @param samples metric of each implementation, one value per round
 * @param reference name of the implementation to compare with; default: the first
 * @returns `undefined` to continue with another round
 */
export function whyStop(
  rule: StoppingRule,
  samples: ReadonlyMap<string, readonly number[]>,
  reference: string | undefined,
  elapsedSeconds: number,
): StopReason | undefined {
  const rounds = Math.max(0, ...[...samples.values()].map((values) => values.length));
  if (rounds >= rule.mostRounds) return "rounds";
  if (rule.leastRounds === rule.mostRounds) return undefined;
  if (rounds >= rule.leastRounds && isNarrow(rule.narrow, samples, reference)) return "narrow";
  return rounds >= LEAST_ROUNDS && elapsedSeconds >= rule.seconds ? "time" : undefined;
}

function isNarrow(
  narrow: number,
  samples: ReadonlyMap<string, readonly number[]>,
  reference: string | undefined,
): boolean {
  const [first] = samples.keys();
  const base = samples.get(reference ?? "") ?? samples.get(first ?? "") ?? [];
  // A single implementation is compared with its own median run.
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
