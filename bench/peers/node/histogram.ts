/** Latencies of a side in Node, as the percentiles that `done` has. */
import { createRequire } from "node:module";
import type * as Hdr from "hdr-histogram-js";

// Its ES module build is for bundlers: it imports paths without extensions.
const { build } = createRequire(import.meta.url)("hdr-histogram-js") as typeof Hdr;

const PERCENTILES = [0, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100];

/** Three significant digits from 1 ns to a minute. */
export class Latencies {
  readonly #histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000_000,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: false,
  });

  /** @param nanoseconds more than a minute counts as a minute */
  record(nanoseconds: number): void {
    this.#histogram.recordValue(Math.min(60_000_000_000, Math.max(1, Math.round(nanoseconds))));
  }

  /** In µs. */
  get table(): Record<string, number> {
    const table: Record<string, number> = { mean: this.#histogram.mean / 1e3 };
    for (const p of PERCENTILES) table[String(p)] = this.#histogram.getValueAtPercentile(p) / 1e3;
    return table;
  }
}
