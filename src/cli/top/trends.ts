/** The last rates of sides, as a line of small bars. Pure. */
import type { RatedSide, RatedSource } from "../../metrics/readings.js";
import type { View } from "./view.js";

const BARS = "▁▂▃▄▅▆▇█";
/** Readings that a trend has, one character each. */
export const TREND_READINGS = 8;

export class Trends {
  readonly #rates = new Map<string, number[]>();

  /** Sides that are not there any more are forgotten. */
  add({ addresses }: View): void {
    const present = new Set<string>();
    for (const address of addresses) {
      if (!address.up) continue;
      for (const source of address.reading.sources)
        for (const side of source.sides) {
          const key = keyOf(address.address, source, side);
          const rates = this.#rates.get(key) ?? [];
          rates.push((side.rates.in ?? 0) + (side.rates.out ?? 0));
          if (rates.length > TREND_READINGS) rates.shift();
          this.#rates.set(key, rates);
          present.add(key);
        }
    }
    for (const key of this.#rates.keys()) if (!present.has(key)) this.#rates.delete(key);
  }

  of(address: string, source: RatedSource, side: RatedSide): string {
    return bars(this.#rates.get(keyOf(address, source, side)) ?? []);
  }
}

/** A bar for each rate, the highest of them as high as a line. */
export function bars(rates: readonly number[]): string {
  const most = Math.max(...rates, Number.MIN_VALUE);
  return rates.map((rate) => BARS[Math.round((rate / most) * (BARS.length - 1))]).join("");
}

function keyOf(address: string, { name, kind }: RatedSource, { side }: RatedSide): string {
  return JSON.stringify([address, name, kind, side]);
}
