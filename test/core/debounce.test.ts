/** When changes have settled: the rule, on any schedule. */
import { describe, expect, it } from "vitest";
import { Debounce } from "../../src/core/debounce.js";
import fc from "../support/properties.js";

describe("what is being written", () => {
  it("is read when nothing has changed for a while, and at last in any case", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 30 }), (gaps) => {
        const debounce = new Debounce(200, 2_000);
        expect(debounce.wait(0)).toBeUndefined();
        let now = 0;
        let first = 0;
        let noted = false;
        for (const gap of gaps) {
          const due = noted ? now + (debounce.wait(now) as number) : Number.POSITIVE_INFINITY;
          if (due <= now + gap) {
            expect(due).toBe(Math.min(now + 200, first + 2_000));
            debounce.read();
            expect(debounce.wait(due)).toBeUndefined();
            noted = false;
          }
          now += gap;
          if (!noted) first = now;
          noted = true;
          debounce.note(now);
          expect(debounce.wait(now)).toBe(Math.min(200, first + 2_000 - now));
        }
      }),
    );
  });
});
