import { describe, expect, test, vi } from "vitest";
import { MAX_BATCH, Receiver } from "../../../src/engine/libzmq/receiver.js";
import { FakeNativeSocket } from "../../support/fake-native.js";
import fc from "../../support/properties.js";
import { turn } from "../../support/settled.js";

const message = (n: number): Buffer[] => [Buffer.from(String(n))];
const numbers = (count: number, from = 0): Buffer[][] =>
  Array.from({ length: count }, (_, i) => message(from + i));

function receiver(maxBatch = MAX_BATCH) {
  const native = new FakeNativeSocket();
  const notify = vi.fn();
  return { native, notify, made: new Receiver(native, maxBatch, notify) };
}

function takeAll(made: Receiver): number[] {
  const taken: number[] = [];
  for (let one = made.take(); one !== undefined; one = made.take()) taken.push(Number(one[0]));
  return taken;
}

describe("batches", () => {
  test("grow while they come back full, to the bound and not past it", async () => {
    const { native, made } = receiver(8);
    native.arrive(...numbers(200));
    const sizes: number[] = [];
    for (let i = 0; i < 12; i++) {
      made.want(true);
      await turn();
      sizes.push(takeAll(made).length);
    }
    expect(sizes[0]).toBe(1);
    for (let i = 1; i < sizes.length; i++) {
      expect(sizes[i]).toBeGreaterThanOrEqual(sizes[i - 1] as number);
      expect((sizes[i] as number) - (sizes[i - 1] as number)).toBeLessThanOrEqual(1);
    }
    expect(sizes.at(-1)).toBe(8);
  });

  test("shrink when they do not, so that an empty socket costs few failed reads", async () => {
    const { native, made } = receiver();
    native.arrive(...numbers(150));
    while (native.queue.length > 0) {
      made.want(true);
      await turn();
      takeAll(made);
    }
    // One message at a time from here: the reads for each must come down to a few.
    for (let i = 0; i < 10; i++) {
      native.arrive(message(i));
      made.want(true);
      await turn();
      expect(takeAll(made)).toEqual([i]);
    }
    const before = native.reads;
    native.arrive(message(0));
    made.want(true);
    await turn();
    expect(native.reads - before).toBeLessThanOrEqual(2);
  });
});

describe("on an empty socket", () => {
  test("one read waits in native code, is looked at after its slice, and made again while it is wanted", async () => {
    const { native, made, notify } = receiver();
    made.want(true);
    made.want(true);
    expect(native.armed).toBe(true);
    expect(native.receiveTimeout).toBeGreaterThan(0);
    const { reads } = native;
    native.endSlice();
    await turn();
    expect(native.armed).toBe(true);
    expect(native.reads).toBe(reads + 1);
    made.want(false);
    native.endSlice();
    await turn();
    expect(native.armed).toBe(false);
    expect(made.busy).toBe(false);
    expect(notify).not.toHaveBeenCalled();
  });

  test("poll reads nothing", async () => {
    const { native, made } = receiver();
    made.poll();
    expect(native.reads).toBe(0);
    native.arrive(message(1));
    made.poll();
    await turn();
    expect(takeAll(made)).toEqual([1]);
  });
});

describe("discard", () => {
  test("throws away what was read and says how many", async () => {
    const { native, made } = receiver();
    native.arrive(message(1));
    made.want(true);
    await turn();
    expect(made.discard()).toBe(1);
    expect(made.length).toBe(0);
    expect(made.discard()).toBe(0);
  });

  test("throws away a batch that is on its way, and still reports that the reading is over", async () => {
    const { native, made, notify } = receiver();
    native.arrive(...numbers(10));
    made.want(true);
    await turn();
    takeAll(made);
    notify.mockClear();
    made.want(true);
    made.discard();
    await turn();
    expect(takeAll(made)).toEqual([]);
    expect(notify).toHaveBeenCalledTimes(1);
    made.want(true);
    await turn();
    expect(takeAll(made)[0]).toBe(3);
  });

  test("keeps what comes later, to a read that waited already", async () => {
    const { native, made } = receiver(1);
    made.want(true);
    made.discard();
    native.arrive(message(5));
    await turn();
    expect(takeAll(made)).toEqual([5]);
  });
});

describe("after close", () => {
  test("nothing is read and nothing is notified, and what was read stays to be counted", async () => {
    const { native, made, notify } = receiver();
    made.want(true);
    made.close();
    native.arrive(message(1), message(2));
    await turn();
    expect(made.length).toBe(1);
    const { reads } = native;
    made.want(true);
    made.poll();
    expect(native.reads).toBe(reads);
    expect(notify).not.toHaveBeenCalled();
  });

  test("an armed read that runs out is not made again", async () => {
    const { native, made } = receiver();
    made.want(true);
    made.close();
    native.endSlice();
    await turn();
    expect(native.armed).toBe(false);
  });
});

test("under any schedule messages come in order, none is lost, and each want that can be answered is", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("arrive" as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("want" as const), on: fc.boolean() }),
    fc.record({ do: fc.constant("take" as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("slice" as const) }),
    fc.record({ do: fc.constant("poll" as const) }),
    fc.record({ do: fc.constant("turn" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 1, max: 8 }),
      async (steps, maxBatch) => {
        const { native, made } = receiver(maxBatch);
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
    ),
    { numRuns: 500, defaultRuns: 130 },
  );
});
