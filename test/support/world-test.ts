/** Tests that are stories of a simulated world. */
import { test } from "vitest";
import { type SimulateOptions, simulate, type World } from "../../src/testing/index.js";
import { LONG } from "./long.js";
import { mayCount } from "./seed.js";

/**
 * @param options of `simulate`; `long`: runs in the long form
 * @returns declares a test; `count` is for what happened in all runs, where that is not chance
 */
export function worldTest(options: SimulateOptions & { readonly long?: number } = {}) {
  const { runs = 1, long = runs, ...rest } = options;
  return (
    name: string,
    story: (world: World) => Promise<unknown>,
    count: (runs: number) => void = () => undefined,
  ): void =>
    test(name, { timeout: LONG ? 2_400_000 : 180_000 }, async () => {
      const report = await simulate({ ...rest, runs: LONG ? long : runs }, story);
      if (mayCount(report.runs)) count(report.runs);
    });
}
