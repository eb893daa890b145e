/** Who gets a request, and how often, when workers cannot be reached or are lost. */
import { expect, it } from "vitest";
import { FRAME_COST } from "../../../src/core/frame-cost.js";
import { Dispatcher, Job, type JobDropReason } from "../../../src/patterns/kit/dispatcher.js";

function dispatcherOf(maxDeliveries: number) {
  const unreachable = new Set<string>();
  const log: string[] = [];
  const dispatcher = new Dispatcher(
    { maxQueue: 10, maxQueueBytes: 1_000_000, maxDeliveries },
    {
      deliver: (worker: Buffer, job: Job) => {
        if (unreachable.has(String(worker))) return false;
        log.push(`${worker} ${job.body[0]} ${job.deliveries}`);
        return true;
      },
      unreachable: (worker: Buffer) => {
        log.push(`${worker} is gone`);
        dispatcher.lost(worker);
      },
      dropped: (job: Job, reason: JobDropReason) => log.push(`${job.body[0]} dropped: ${reason}`),
    },
  );
  return {
    dispatcher,
    unreachable,
    log: () => log.splice(0),
    ask: (body: string) => dispatcher.accept(new Job([Buffer.from("c")], [Buffer.from(body)])),
    ready: (worker: string) => dispatcher.ready(Buffer.from(worker)),
    lost: (worker: string) => dispatcher.lost(Buffer.from(worker)),
  };
}

it("a worker that cannot be reached was no delivery, and its request comes first at the next", () => {
  const { ask, ready, lost, unreachable, log } = dispatcherOf(2);
  for (const worker of ["a", "b"]) {
    unreachable.add(worker);
    ready(worker);
  }
  ask("one");
  ask("two");
  expect(log()).toEqual(["a is gone", "b is gone"]);
  ready("c");
  expect(log()).toEqual(["c one 1"]);
  lost("c");
  ready("d");
  expect(log()).toEqual(["d one 2"]);
  lost("d");
  expect(log()).toEqual(["one dropped: deliveries"]);
  ready("e");
  expect(log()).toEqual(["e two 1"]);
});

it("room ends with the bytes of what waits, and comes back with them", () => {
  const dispatcher = new Dispatcher(
    { maxQueue: 10, maxQueueBytes: 500, maxDeliveries: 2 },
    { deliver: () => true, unreachable: () => undefined, dropped: () => undefined },
  );
  const ask = (size: number, client = "c"): void =>
    dispatcher.accept(new Job([Buffer.from(client)], [Buffer.alloc(size)]));
  const ofOne = 2 * FRAME_COST + 5; // Two headers, and the routing id.
  const most = 500 - 3 * ofOne;
  ask(most - 40, "a");
  ask(39, "b");
  expect([dispatcher.room(), dispatcher.queuedBytes]).toEqual([8, most - 1 + 2 * ofOne]);
  ask(1, "c");
  expect([dispatcher.room(), dispatcher.queuedBytes]).toEqual([0, 500]);
  dispatcher.clientLeft(Buffer.from("b"));
  expect([dispatcher.room(), dispatcher.queuedBytes]).toEqual([8, 500 - 39 - ofOne]);
  dispatcher.ready(Buffer.from("w"));
  expect([dispatcher.busy, dispatcher.queuedBytes]).toEqual([1, 1 + ofOne]);
  dispatcher.lost(Buffer.from("w"));
  expect(dispatcher.queuedBytes).toBe(500 - 39 - ofOne);
  dispatcher.close();
  expect([dispatcher.room(), dispatcher.queuedBytes]).toEqual([10, 0]);
});
