/** Publications of a loop to a node that has not acknowledged what came before: they wait for those of the next turn. */
import { describe, expect, test } from "vitest";
import type { ClusterNode } from "../../../src/cluster/index.js";
import { HELD_BYTES, HELD_TIME } from "../../../src/cluster/messaging/bounds.js";
import { countOf } from "../../../src/cluster/messaging/wire.js";
import { ignore } from "../../../src/core/ignore.js";
import type { World } from "../../../src/testing/index.js";
import { onOneHost } from "../simulated.js";
import { RawReceiver } from "./raw-ends.js";

describe("publications that are followed by more in the next turn", () => {
  interface Loop {
    readonly a: ClusterNode;
    readonly b: ClusterNode;
    readonly world: World;
    readonly raw: RawReceiver;
    /** @param goesOn after it the publisher lets the event loop turn */
    publish(data: string, goesOn?: boolean): Promise<number>;
    /** How many items each batch has that has come since the last call. */
    batches(): Promise<number[]>;
    acknowledge(): Promise<void>;
  }

  /** Two nodes, and one publication that is not acknowledged. */
  const loop = (story: (loop: Loop) => Promise<void>, highWaterMark = 1_000): Promise<void> =>
    onOneHost(
      ["a", "b"],
      async ({ a, b }, world) => {
        const raw = new RawReceiver(b);
        b.subscribe("t", ignore);
        await world.advance(1_000);
        const publish: Loop["publish"] = (data, goesOn = true) => {
          const published = a.publish("t", data);
          if (goesOn) a.parts.messages.links.publishesMore();
          return published;
        };
        let items = 0;
        const batches = async (): Promise<number[]> => {
          await world.advance(1);
          const counts = raw.frames.splice(0).map(countOf);
          items += counts.reduce((sum, count) => sum + count, 0);
          return counts;
        };
        await publish("first", false);
        expect(await batches()).toEqual([1]);
        const acknowledge = async (): Promise<void> => {
          raw.acknowledge(items);
          await world.advance(1);
        };
        await story({ a, b, world, raw, publish, batches, acknowledge });
      },
      { messaging: { highWaterMark } },
    );

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

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
      expect((await batches()).reduce((sum, each) => sum + each, 0)).toBe(published);
    }, 100_000));

  test("wait for no more than some bytes", () =>
    loop(async ({ publish, batches }) => {
      let count = 0;
      for (let i = 0; i < Math.ceil(HELD_BYTES / 8_200) + 5; i++) {
        void publish("x".repeat(8_192));
        await turn();
        count += 1;
      }
      const came = await batches();
      expect(came.length).toBeGreaterThan(1);
      expect(came.reduce((sum, each) => sum + each, 0)).toBe(count);
    }));

  test("do not take room that is scarce", () =>
    loop(async ({ publish, batches }) => {
      void publish("1");
      await new Promise((resolve) => process.nextTick(resolve));
      expect([await publish("2"), await publish("3"), await publish("4")]).toEqual([1, 1, 0]);
      expect((await batches())[0]).toBe(1);
    }, 4));
});
