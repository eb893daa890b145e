/** Publications of a loop to a node that has not acknowledged what came before: they wait for those of the next turn. */
import { describe, expect, test } from "vitest";
import type { ClusterNode } from "../../../src/cluster/index.js";
import { HELD_BYTES, HELD_TIME } from "../../../src/cluster/messaging/bounds.js";
import { countOf } from "../../../src/cluster/messaging/wire.js";
import { ignore } from "../../../src/core/waiter.js";
import type { World } from "../../../src/testing/index.js";
import { RawReceiver } from "./raw-ends.js";
import { withMessaging } from "./with-messaging.js";

/** A publisher, the first publication of which is not acknowledged. */
async function begin({ a, b }: Record<"a" | "b", ClusterNode>, world: World) {
  const raw = new RawReceiver(b);
  b.subscribe("t", ignore);
  await world.advance(1_000);
  /** @param goesOn after it the publisher lets the event loop turn */
  const publish = (data: string, goesOn = true): Promise<number> => {
    const published = a.publish("t", data);
    if (goesOn) a.parts.messages.links.publishesMore();
    return published;
  };
  let items = 0;
  /** How many items each batch has that has come since the last call. */
  const batches = async (): Promise<number[]> => {
    await world.advance(1);
    const counts = raw.frames.splice(0).map(countOf);
    items += sumOf(counts);
    return counts;
  };
  const acknowledge = async (): Promise<void> => {
    raw.acknowledge(items);
    await world.advance(1);
  };
  await publish("first", false);
  expect(await batches()).toEqual([1]);
  return { world, raw, publish, batches, acknowledge };
}

type Loop = Awaited<ReturnType<typeof begin>>;
const loop = (story: (loop: Loop) => Promise<void>, highWaterMark = 1_000): Promise<void> =>
  withMessaging({ highWaterMark }, ["a", "b"], async (nodes, world) => story(await begin(nodes, world)));
const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("publications that are followed by more in the next turn", () => {
  test("wait for it, and go together when nothing follows", () =>
    loop(async ({ publish, batches }) => {
      for (const data of ["1", "2", "3"]) {
        void publish(data);
        await turn();
      }
      expect(await batches()).toEqual([3]);
    }));

  test("do not wait where the peer has acknowledged all, or nothing is said to follow", () =>
    loop(async ({ publish, batches, acknowledge }) => {
      void publish("1", false);
      await turn();
      void publish("2", false);
      expect(await batches()).toEqual([1, 1]);
      await acknowledge();
      void publish("3");
      await new Promise((resolve) => process.nextTick(resolve));
      void publish("4");
      expect(await batches()).toEqual([1, 1]);
    }));

  test("wait no longer than a time, however much follows", () =>
    loop(async ({ publish, world, raw, batches }) => {
      const start = world.now;
      let published = 0;
      for (; raw.frames.length === 0; published++) {
        void publish("x");
        await turn();
      }
      expect(Math.round(world.now - start)).toBe(HELD_TIME);
      expect(sumOf(await batches())).toBe(published);
    }, 100_000));

  test("wait for no more than some bytes", () =>
    loop(async ({ publish, batches }) => {
      const count = Math.ceil(HELD_BYTES / 8_200) + 5;
      for (let i = 0; i < count; i++) {
        void publish("x".repeat(8_192));
        await turn();
      }
      const came = await batches();
      expect(came.length).toBeGreaterThan(1);
      expect(sumOf(came)).toBe(count);
    }));

  test("do not take room that is scarce", () =>
    loop(async ({ publish, batches }) => {
      void publish("1");
      await new Promise((resolve) => process.nextTick(resolve));
      expect([await publish("2"), await publish("3"), await publish("4")]).toEqual([1, 1, 0]);
      expect((await batches())[0]).toBe(1);
    }, 4));
});
