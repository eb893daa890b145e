import { expect, test } from "vitest";
import { Backoff } from "../../../src/engine/zmtp/dialer.js";
import fc from "../../support/properties.js";

const times = (backoff: Backoff, count: number): (number | undefined)[] =>
  Array.from({ length: count }, () => backoff.next());

test("without chance: the interval, doubled with every failure up to the maximum", () => {
  const backoff = new Backoff({ reconnectInterval: 100, reconnectMaxInterval: 1_500 }, () => 0);
  expect(times(backoff, 7)).toEqual([100, 200, 400, 800, 1_500, 1_500, 1_500]);
  backoff.reset();
  expect(times(backoff, 2)).toEqual([100, 200]);
});

test("without a maximum, or with one below the interval, it does not grow", () => {
  for (const reconnectMaxInterval of [0, 50, 100])
    expect(times(new Backoff({ reconnectInterval: 100, reconnectMaxInterval }, () => 0), 4)).toEqual([
      100, 100, 100, 100,
    ]);
});

test("0 is 10 ms, doubled like any other: no peer is dialled as often as the event loop turns", () => {
  const reconnectInterval = 0;
  expect(times(new Backoff({ reconnectInterval, reconnectMaxInterval: 5_000 }, () => 0), 4)).toEqual([
    10, 20, 40, 80,
  ]);
  expect(times(new Backoff({ reconnectInterval, reconnectMaxInterval: 0 }, () => 0), 4)).toEqual([
    10, 10, 10, 10,
  ]);
});

test("-1 is never", () => {
  expect(times(new Backoff({ reconnectInterval: -1, reconnectMaxInterval: 5_000 }), 3)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("whatever the options and however long it goes on, a wait is from its base to half as much again", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 30 }),
      fc.integer({ min: 0, max: 2 ** 30 }),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      fc.integer({ min: 1, max: 80 }),
      (interval, maxInterval, chance, failures) => {
        const most = Math.max(interval, maxInterval);
        const options = { reconnectInterval: interval, reconnectMaxInterval: maxInterval };
        const waits = times(new Backoff(options, () => chance), failures) as number[];
        waits.forEach((wait, i) => {
          const base = Math.min(most, interval * 2 ** i);
          expect(wait).toBeGreaterThanOrEqual(Math.floor(base));
          expect(wait).toBeLessThanOrEqual(Math.ceil(base * 1.5));
        });
      },
    ),
    { numRuns: 1_000 },
  );
});

test("peers of a server that restarts do not come back in step", () => {
  const first = new Set(
    Array.from({ length: 50 }, () =>
      new Backoff({ reconnectInterval: 1_000, reconnectMaxInterval: 0 }).next(),
    ),
  );
  expect(first.size).toBeGreaterThan(20);
});

test("the longest interval is a timer's longest delay: one beyond would fire at once", () => {
  const longest = 2_147_483_647;
  for (const options of [
    { reconnectInterval: longest, reconnectMaxInterval: 0 },
    { reconnectInterval: 2_000_000_000, reconnectMaxInterval: longest },
  ])
    expect(times(new Backoff(options, () => 0.999), 3).every((wait) => Number(wait) <= longest)).toBe(true);
});
