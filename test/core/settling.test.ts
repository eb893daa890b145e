/** When changes have settled: the rule, on any schedule. */
import { describe, expect, it } from "vitest";
import { Settling } from "../../src/core/settling.js";
import fc from "../support/properties.js";

describe("what is being written", () => {
  it("is read when nothing has changed for a while, and at last in any case", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 30 }), (gaps) => {
        const settling = new Settling(200, 2_000);
        expect(settling.wait(0)).toBeUndefined();
        let now = 0;
        let first = 0;
        let noted = false;
        for (const gap of gaps) {
          const due = noted ? now + (settling.wait(now) as number) : Number.POSITIVE_INFINITY;
          if (due <= now + gap) {
            expect(due).toBe(Math.min(now + 200, first + 2_000));
            settling.read();
            expect(settling.wait(due)).toBeUndefined();
            noted = false;
          }
          now += gap;
          if (!noted) first = now;
          noted = true;
          settling.note(now);
          expect(settling.wait(now)).toBe(Math.min(200, first + 2_000 - now));
        }
      }),
    );
  });
});
