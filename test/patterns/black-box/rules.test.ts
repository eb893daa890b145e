import { describe, expect, it } from "vitest";
import { costOf } from "../../../src/core/memory.js";
import { pack, unpack } from "../../../src/patterns/black-box/messages.js";
import { BoxRules, type BoxRulesOptions } from "../../../src/patterns/black-box/rules.js";

const message = (topic: string, body = ""): Buffer[] => [Buffer.from(topic), Buffer.from(body)];

/** One shard unless said otherwise, and a thread that the test plays. */
function box(options: Partial<BoxRulesOptions> = {}) {
  const sent: { shard: number; bodies: string[] }[] = [];
  const rules = new BoxRules(
    {
      shards: 1,
      full: "drop-oldest",
      maxQueue: 3,
      maxQueueBytes: 2_000,
      maxBatch: 2,
      maxBatchBytes: 2 * costOf(message("t", "0")),
      maxInFlight: 1,
      ...options,
    },
    (shard, messages) => sent.push({ shard, bodies: messages.map((frames) => String(frames[1])) }),
  );
  /** What the thread gets until it has all, each batch when the one before is finished. */
  const drained = (): string[][] => {
    const batches: string[][] = [];
    for (let batch = sent.shift(); batch !== undefined; batch = sent.shift()) {
      batches.push(batch.bodies);
      rules.finished(batch.shard, 0);
    }
    return batches;
  };
  return { rules, sent, drained, shard: () => rules.stats().shards[0] };
}

/** A box whose thread handles a message already, until it is `free`. */
function busy(options: Partial<BoxRulesOptions> = {}) {
  const parts = box(options);
  parts.rules.receive([message("t", "first")]);
  parts.sent.length = 0;
  return { ...parts, free: () => parts.rules.finished(0, 0) };
}

const bodies = (count: number): Buffer[][] => Array.from({ length: count }, (_, i) => message("t", `${i}`));

it("a shard has its share of topics that differ in one character", () => {
  for (const shards of [2, 3, 8, 16]) {
    const { rules } = box({ shards, maxQueue: 8_000, maxQueueBytes: 10_000_000 });
    rules.receive(Array.from({ length: 8_000 }, (_, i) => message(`sensor.${i}`)));
    const counts = rules.stats().shards.map(({ received }) => received);
    expect(Math.min(...counts)).toBeGreaterThan((0.8 * 8_000) / shards);
    expect(Math.max(...counts)).toBeLessThan((1.2 * 8_000) / shards);
  }
});

it("a batch carries messages of any frames through an ArrayBuffer", () => {
  const messages = [
    [Buffer.from("a")],
    [Buffer.alloc(0), Buffer.alloc(0)],
    [Buffer.from("topic"), Buffer.alloc(70_000, 7), Buffer.alloc(0)],
  ];
  expect(unpack(pack(messages))).toEqual(messages);
  expect(unpack(pack([]))).toEqual([]);
});

describe("the queue of a shard", () => {
  it("ends a batch at its bytes, but for a message that has more alone", () => {
    const { rules, free, drained } = busy({ maxQueue: 10, maxBatch: 10 });
    rules.receive([message("t", "x".repeat(500)), ...bodies(2), message("t", "y".repeat(200)), ...bodies(1)]);
    free();
    expect(drained().map((batch) => batch.length)).toEqual([1, 2, 1, 1]);
  });

  it.each([
    ["drop-newest", ["0", "1", "2"], { newest: 2, oldest: 0 }],
    ["drop-oldest", ["2", "3", "4"], { newest: 0, oldest: 2 }],
  ] as const)("drops the end that it says with %s", (full, kept, dropped) => {
    const { rules, free, drained, shard } = busy({ full });
    rules.receive(bodies(5));
    free();
    expect(drained().flat()).toEqual(kept);
    expect(shard()).toMatchObject({ received: 6, handled: 4, dropped });
  });

  it("drops as many of the oldest as a large message needs room for", () => {
    const { rules, free, drained, shard } = busy({ maxQueue: 10 });
    const large = message("t", "z".repeat(1_600));
    rules.receive([...bodies(4), large]);
    expect(shard()).toMatchObject({
      queued: 2,
      queuedBytes: costOf(message("t", "3")) + costOf(large),
      dropped: { oldest: 3 },
    });
    free();
    expect(drained().flat()).toEqual(["3", "z".repeat(1_600)]);
  });

  it("drops a message that no queue could hold, whatever the policy", () => {
    for (const full of ["wait", "drop-newest", "drop-oldest"] as const) {
      const { rules, shard } = box({ full });
      rules.receive([message("t", "x".repeat(2_000))]);
      expect([rules.blocked, shard()?.dropped["too-large"], shard()?.queued]).toEqual([false, 1, 0]);
    }
  });
});
