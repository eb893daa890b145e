/** Rates, from two looks at the same source. Pure. */
import { COUNTS, type CountName, type Reading, type SideReading, type SourceReading } from "./readings.js";

/** How often in a second, by count; absent where there is nothing to compare with. */
export type Rates = Readonly<Partial<Record<CountName, number>>>;

export interface RatedSide extends SideReading {
  readonly rates: Rates;
}

export interface RatedSource extends Omit<SourceReading, "sides"> {
  readonly sides: readonly RatedSide[];
}

export interface RatedReading {
  readonly sources: readonly RatedSource[];
  /** Of one processor, 0 to 1, or more with several threads. */
  readonly cpu?: number;
  readonly memory?: number;
  readonly loopDelay?: number;
}

/** A reading, and when it was taken, in ms of any clock that never goes back. */
export interface Look {
  readonly at: number;
  readonly reading: Reading;
}

export function rated(before: Look | undefined, now: Look): RatedReading {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1_000;
  const { cpu, memory, loopDelay } = now.reading.process;
  const busy = rate(before?.reading.process.cpu, cpu, seconds);
  return {
    sources: now.reading.sources.map((source) => ({
      ...source,
      sides: source.sides.map((side) => ({
        ...side,
        rates: ratesOf(
          before === undefined ? undefined : sideOf(before.reading, source, side),
          side,
          seconds,
        ),
      })),
    })),
    ...(busy === undefined ? {} : { cpu: busy }),
    ...(memory === undefined ? {} : { memory }),
    ...(loopDelay === undefined ? {} : { loopDelay }),
  };
}

/**
 * How often in a second. A count that is less than it was began anew at 0: its program was started again, and all
 * that it counts came since.
 *
 * @returns `undefined` where one is not known, or no time has passed
 */
export function rate(
  before: number | undefined,
  now: number | undefined,
  seconds: number,
): number | undefined {
  if (before === undefined || now === undefined || !(seconds > 0)) return undefined;
  return (now < before ? now : now - before) / seconds;
}

function ratesOf(before: SideReading | undefined, now: SideReading, seconds: number): Rates {
  const rates: Partial<Record<CountName, number>> = {};
  for (const count of COUNTS) {
    const each = rate(before?.[count], now[count], seconds);
    if (each !== undefined) rates[count] = each;
  }
  return rates;
}

function sideOf(
  { sources }: Reading,
  { name, kind }: SourceReading,
  { side }: SideReading,
): SideReading | undefined {
  const source = sources.find((each) => each.name === name && each.kind === kind);
  return source?.sides.find((each) => each.side === side);
}
