import { expect, test } from "vitest";
import { reconnectDelay } from "../../../src/engine/zmtp/dialer.js";
import fc from "../../support/properties.js";

type Options = Parameters<typeof reconnectDelay>[1];

const times = (options: Options, chance: number, count: number): (number | undefined)[] =>
  Array.from({ length: count }, (_, failures) => reconnectDelay(failures, options, () => chance));

test("0 is 10 ms, doubled like any other: no peer is dialled as often as the event loop turns", () => {
  const reconnectInterval = 0;
  expect(times({ reconnectInterval, reconnectMaxInterval: 5_000 }, 0, 4)).toEqual([10, 20, 40, 80]);
  expect(times({ reconnectInterval, reconnectMaxInterval: 0 }, 0, 4)).toEqual([10, 10, 10, 10]);
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
        const waits = times(options, chance, failures) as number[];
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
      reconnectDelay(0, { reconnectInterval: 1_000, reconnectMaxInterval: 0 }),
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
    expect(times(options, 0.999, 3).every((wait) => Number(wait) <= longest)).toBe(true);
});
