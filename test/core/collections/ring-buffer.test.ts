import { expect, test } from "vitest";
import { RingBuffer } from "../../../src/core/collections/queues.js";
import fc from "../../support/properties.js";

const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("push" as const), item: fc.integer() }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("shift" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("retain" as const), modulo: fc.integer({ min: 1, max: 4 }) }),
  },
);

test("behaves as an array does", () => {
  fc.assert(
    fc.property(fc.nat(40), fc.array(operation, { maxLength: 200 }), (capacity, operations) => {
      const ring = new RingBuffer<number>(capacity);
      let model: number[] = [];
      for (const one of operations) {
        if (one.do === "push") {
          ring.push(one.item);
          model.push(one.item);
        } else if (one.do === "shift") {
          expect(ring.shift()).toBe(model.shift());
        } else if (one.do === "clear") {
          ring.clear();
          model = [];
        } else {
          ring.retain((item) => item % one.modulo === 0);
          model = model.filter((item) => item % one.modulo === 0);
        }
        expect(ring.length).toBe(model.length);
        expect(ring.peek()).toBe(model[0]);
      }
      while (model.length > 0) expect(ring.shift()).toBe(model.shift());
      expect(ring.shift()).toBeUndefined();
    }),
    { numRuns: 1_000, defaultRuns: 60 },
  );
});
