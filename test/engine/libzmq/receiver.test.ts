import { expect, test } from "vitest";
import { Receiver } from "../../../src/engine/libzmq/receiver.js";
import { FakeNativeSocket } from "../../support/fake-native.js";
import fc, { forAllAsync } from "../../support/properties.js";
import { turn } from "../../support/settled.js";

const message = (n: number): Buffer[] => [Buffer.from(String(n))];
const numbers = (count: number, from = 0): Buffer[][] =>
  Array.from({ length: count }, (_, i) => message(from + i));

test("under any schedule messages come in order, none is lost, and each want that can be answered is", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("arrive" as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("want" as const), on: fc.boolean() }),
    fc.record({ do: fc.constant("take" as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("slice" as const) }),
    fc.record({ do: fc.constant("poll" as const) }),
    fc.record({ do: fc.constant("turn" as const) }),
  );
  await forAllAsync(
    [fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 8 })],
    { numRuns: 500, defaultRuns: 130 },
    async (steps, maxBatch) => {
      const native = new FakeNativeSocket();
      const made = new Receiver(native, maxBatch, () => undefined);
      const taken: number[] = [];
      let arrived = 0;
      const take = (count: number): void => {
        for (let i = 0; i < count; i++) {
          const one = made.take();
          if (one !== undefined) taken.push(Number(one[0]));
        }
      };
      for (const one of steps) {
        if (one.do === "arrive") {
          native.arrive(...numbers(one.count, arrived));
          arrived += one.count;
        } else if (one.do === "want") made.want(one.on);
        else if (one.do === "take") take(one.count);
        else if (one.do === "slice") native.endSlice();
        else if (one.do === "poll") made.poll();
        else await turn();
      }
      for (let i = 0; i < arrived + 2 && taken.length < arrived; i++) {
        made.want(true);
        await turn();
        take(made.length);
      }
      expect(taken).toEqual(Array.from({ length: arrived }, (_, i) => i));
    },
  );
});
