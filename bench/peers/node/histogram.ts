/** Latencies of a side in Node, as percentiles of `done`. */
import hdr from "hdr-histogram-js";

const PERCENTILES = [0, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100];

const MINUTE = 60_000_000_000;

/**
 * Three significant digits from 1 ns to a minute. Sorting a latency into the histogram takes a tenth of a fast
 * client's time, so it is done at the end.
 */
export class Latencies {
  readonly #last: Float64Array;
  #recorded = 0;

  /** @param count of the latest latencies, which it keeps: those of the warm-up are recorded, too, and give way */
  constructor(count: number) {
    this.#last = new Float64Array(count);
  }

  /** @param nanoseconds more than a minute counts as a minute */
  record(nanoseconds: number): void {
    this.#last[this.#recorded++ % this.#last.length] = nanoseconds;
  }

  #histogram(): hdr.Histogram {
    const histogram = hdr.build({
      lowestDiscernibleValue: 1,
      highestTrackableValue: MINUTE,
      numberOfSignificantValueDigits: 3,
      useWebAssembly: false,
    });
    for (const each of this.#last.subarray(0, this.#recorded))
      histogram.recordValue(Math.min(MINUTE, Math.max(1, Math.round(each))));
    return histogram;
  }

  /** In µs. */
  get table(): Record<string, number> {
    const histogram = this.#histogram();
    const table: Record<string, number> = { mean: histogram.mean / 1e3 };
    for (const p of PERCENTILES) table[String(p)] = histogram.getValueAtPercentile(p) / 1e3;
    return table;
  }
}
