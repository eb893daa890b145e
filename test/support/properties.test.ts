import { expect, it } from "vitest";
import fc from "./properties.js";

it.each([
  ["lists", fc.array(fc.boolean(), { maxLength: 100 })],
  ["texts", fc.string({ maxLength: 100 })],
  ["bytes", fc.uint8Array({ maxLength: 100 })],
] as const)("%s are of every length up to maxLength, long ones about as often as short ones", (_, values: fc.Arbitrary<{
  length: number;
}>) => {
  const quarters = [0, 0, 0, 0];
  fc.assert(
    fc.property(values, ({ length }) => {
      const quarter = Math.min(3, Math.floor(length / 25));
      quarters[quarter] = (quarters[quarter] as number) + 1;
    }),
    { numRuns: 200, seed: 1 },
  );
  expect(Math.min(...quarters)).toBeGreaterThan(20);
});
