/** Who gets a request, and how often, when workers cannot be reached or are lost. */
import { expect, it } from "vitest";
import { FRAME_COST } from "../../../src/core/memory.js";
import { ignore } from "../../../src/core/waiter.js";
import { Job } from "../../../src/kit/dispatcher.js";
import { readyFrames } from "../../../src/kit/worker-protocol.js";
import { QueueRules } from "../../../src/patterns/pirate/queue.js";

it("room ends with the bytes of what waits, and comes back with them", () => {
  const dispatcher = new QueueRules(
    { maxQueue: 10, maxQueueBytes: 500, maxDeliveries: 2, heartbeatInterval: 1_000, liveness: 3 },
    { toWorker: () => true, toClient: ignore, event: ignore },
    0,
  );
  const ask = (size: number, client = "c"): void =>
    dispatcher.accept(new Job([Buffer.from(client)], [Buffer.alloc(size)]));
  const ofOne = 2 * FRAME_COST + 5; // Two headers, and the routing id.
  const most = 500 - 3 * ofOne;
  ask(most - 40, "a");
  ask(39, "b");
  expect([dispatcher.room, dispatcher.queuedBytes]).toEqual([8, most - 1 + 2 * ofOne]);
  ask(1, "c");
  expect([dispatcher.room, dispatcher.queuedBytes]).toEqual([0, 500]);
  dispatcher.clientLeft(Buffer.from("b"));
  expect([dispatcher.room, dispatcher.queuedBytes]).toEqual([8, 500 - 39 - ofOne]);
  dispatcher.workerMessage(Buffer.from("w"), readyFrames("simple"), 0);
  expect([dispatcher.busy, dispatcher.queuedBytes]).toEqual([1, 1 + ofOne]);
  dispatcher.workerLeft(Buffer.from("w"), 0);
  expect(dispatcher.queuedBytes).toBe(500 - 39 - ofOne);
  dispatcher.close();
  expect([dispatcher.room, dispatcher.queuedBytes]).toEqual([10, 0]);
});
