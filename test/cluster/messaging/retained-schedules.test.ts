/**
 * Retained values under schedules of publications, subscriptions, newcomers, cuts, kills and restarts that fast-check makes, and makes
 * smaller. Whatever happens, no subscription gets a value after a later one, and in the end all have the same. SHOAL_LONG=1 runs
 * 20,000 of them.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { matches } from "../../../src/cluster/messaging/topics.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";
import { type Reader, type RetainedNode, RetainedWorld } from "./retained-world.js";

const RUNS = LONG ? 20_000 : 100;
const TOPICS = ["t/1", "t/2"];
const FILTERS = ["t/1", "t/+", "#"];

const index = fc.nat(63);
const act = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("deliver" as const), which: index, count: fc.nat(5) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("publish" as const), node: index, topic: fc.nat(1) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("take back" as const), node: index, topic: fc.nat(1) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("read" as const), node: index, filter: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), node: index }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("announce" as const), node: index }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("meet" as const), node: index, other: index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("settle" as const), node: index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("join" as const), skew: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cut" as const), node: index, other: index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("heal" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("lose" as const), node: index, other: index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("kill" as const), node: index, lost: fc.nat(255) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("tick" as const), ms: fc.nat(1_200) }) },
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

function run(world: RetainedWorld, step: Act): void {
  const { running } = world;
  const at = (which: number): RetainedNode => running[which % running.length] as RetainedNode;
  switch (step.kind) {
    case "deliver":
      for (let i = 0; i <= step.count; i++) world.deliver(step.which + i * 7);
      return;
    case "publish":
    case "take back":
      world.publish(at(step.node), TOPICS[step.topic] as string, step.kind === "take back");
      return;
    case "read":
      if (at(step.node).readers.length < 3) at(step.node).read(FILTERS[step.filter] as string);
      return;
    case "close":
      at(step.node).readers[0]?.close();
      return;
    case "announce":
      at(step.node).announce();
      return;
    case "meet":
      if (at(step.node) !== at(step.other)) at(step.node).meet(at(step.other));
      return;
    case "settle":
      for (const id of [...at(step.node).unsettled.keys()]) at(step.node).settle(id);
      return;
    case "join":
      if (world.nodes.length < 8) world.add((step.skew - 2) * 10_000);
      return;
    case "cut":
      world.cut(at(step.node), at(step.other));
      return;
    case "heal":
      world.heal();
      return;
    case "lose": {
      // Also one that was killed: the others lose it at other times.
      const other = world.nodes[step.other % world.nodes.length] as RetainedNode;
      if (at(step.node) !== other) at(step.node).lose(other, "lost");
      return;
    }
    case "kill":
      if (running.length > 2) world.kill(at(step.node), step.lost);
      return;
    case "tick":
      world.wall += step.ms;
      vi.advanceTimersByTime(step.ms);
  }
}

/** One order of each topic's values has all that any subscription got, in the order in which it got them. */
function checkOrder(world: RetainedWorld): void {
  for (const topic of TOPICS) {
    const later = new Map<string, Set<string>>();
    for (const { got } of world.readers) {
      const values = (got.get(topic) ?? []).filter((value) => value !== "");
      expect(new Set(values).size, `a value came twice: ${values}`).toBe(values.length);
      for (let i = 1; i < values.length; i++) {
        const [before, after] = values.slice(i - 1, i + 1) as [string, string];
        later.set(before, (later.get(before) ?? new Set()).add(after));
      }
    }
    const done = new Set<string>();
    const visit = (value: string, path: readonly string[]): void => {
      expect(path, `nodes got values of ${topic} in different orders`).not.toContain(value);
      if (done.has(value)) return;
      for (const next of later.get(value) ?? []) visit(next, [...path, value]);
      done.add(value);
    };
    for (const value of later.keys()) visit(value, []);
  }
}

/** What subscriptions that are open have of a topic: "" where there is none. */
function values(world: RetainedWorld, topic: string): string[] {
  const readers = world.running.flatMap((node) => node.readers);
  return readers
    .filter(({ filter }) => matches(filter, topic))
    .map(({ got }) => got.get(topic)?.at(-1) ?? "");
}

/** All that is under way has arrived, also what waits for an interval. */
async function arrived(world: RetainedWorld): Promise<void> {
  for (let i = 0; i < 4; i++) {
    while (world.deliver(0)) await world.pause();
    await world.pause();
    if (i === 1) vi.advanceTimersByTime(1_000);
  }
}

/** No node keeps copies up to date for any subscription any longer. */
async function endSubscriptions(world: RetainedWorld): Promise<void> {
  for (const node of world.running) for (const reader of [...node.readers]) reader.close();
  await world.converge();
  // What nodes have asked counts as their interest for 10 s.
  vi.advanceTimersByTime(11_000);
}

/**
 * Subscriptions end, a publisher changes its values or takes them back, and others begin: where there are copies of the values before,
 * none gets one.
 */
async function checkCopies(world: RetainedWorld, publisher: RetainedNode): Promise<void> {
  const before = world.published.slice(-2);
  await endSubscriptions(world);
  world.publish(publisher, TOPICS[0] as string, true);
  world.publish(publisher, TOPICS[1] as string);
  const last = world.published.at(-1);
  await world.converge();
  for (const node of world.running) node.read("#");
  await world.converge();
  for (const { readers } of world.running) {
    const [got, others] = TOPICS.map((topic) => readers[0]?.got.get(topic) ?? []) as [string[], string[]];
    expect(got, "a value that was taken back").not.toContain(before[0]);
    expect(got.at(-1) ?? "").toBe("");
    expect(others, "a value that is not its publisher's any longer").not.toContain(before[1]);
    expect(others.at(-1)).toBe(last);
  }
  checkOrder(world);
  // They are lost with their publisher, but for the copies that are kept for these subscriptions.
  await endSubscriptions(world);
  world.kill(publisher, 0);
  await world.converge();
  const late = world.running[0] as RetainedNode;
  late.read("#");
  await world.converge();
  expect(values(world, TOPICS[1] as string)).toEqual([last]);
  expect(values(world, TOPICS[0] as string)).toEqual([""]);
}

/** Skews of clocks; whether nodes know each other, and which of them have subscriptions; what their ids are made of. */
type Start = readonly [skews: readonly number[], areAcquainted: boolean, readers: number, salt: number];

async function story(
  mark: number,
  [skews, areAcquainted, readers, salt]: Start,
  steps: readonly Act[],
): Promise<void> {
  const world = new RetainedWorld(mark, salt);
  try {
    for (const skew of skews) world.add((skew - 2) * 10_000);
    world.nodes.forEach((node, i) => {
      if (((readers >> i) & 1) === 1) node.read(FILTERS[i % 3] as string);
    });
    if (areAcquainted) await world.converge();
    for (const step of steps) {
      run(world, step);
      await world.pause();
    }
    await world.converge();
    checkOrder(world);
    for (const topic of TOPICS)
      expect(new Set(values(world, topic)).size, `values of ${topic}: ${values(world, topic)}`).toBeLessThan(
        2,
      );
    // What is published then is the last value everywhere.
    const publisher = world.running[0] as RetainedNode;
    world.wall += 100_000;
    for (const topic of TOPICS) world.publish(publisher, topic);
    const last = world.published.slice(-2);
    await world.converge();
    TOPICS.forEach((topic, i) => {
      for (const value of values(world, topic)) expect(value).toBe(last[i]);
    });
    checkOrder(world);
    await checkCopies(world, publisher);
  } finally {
    await world.close();
  }
}

describe("retained values, whatever happens", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("what a publisher sent to some nodes before it was lost reaches the others", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, one, other] = [0, 0, 0].map((skew) => world.add(skew)) as [
      RetainedNode,
      RetainedNode,
      RetainedNode,
    ];
    for (const node of [one, other]) node.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    world.publish(publisher, "t/2");
    other.lose(publisher, "lost");
    publisher.streams.delete(other.id);
    await world.converge();
    world.publish(publisher, "t/1");
    publisher.streams.delete(other.id);
    world.kill(publisher, 0);
    await world.converge();
    expect(values(world, "t/1")).toEqual(["2", "2"]);
    expect(values(world, "t/2")).toEqual(["1", "1"]);
    await world.close();
  });

  test("what a publisher sent to some nodes reaches the others, in whatever order they lose it", async () => {
    for (const isLate of [true, false]) {
      const world = new RetainedWorld(1_000);
      const nodes = [0, 0, 0].map((skew) => world.add(skew));
      const [publisher, one, other] = nodes as [RetainedNode, RetainedNode, RetainedNode];
      for (const node of [one, other]) node.read("#");
      await world.converge();
      world.publish(publisher, "t/1");
      publisher.streams.delete(other.id);
      await arrived(world);
      publisher.isRunning = false;
      for (const node of isLate ? [one, other] : [other, one]) {
        expect(values(world, "t/1").sort()).toEqual(["", "0"]);
        node.lose(publisher, "lost");
        await arrived(world);
      }
      expect(values(world, "t/1")).toEqual(["0", "0"]);
      await world.close();
    }
  });

  test("what comes from a publisher after it was lost reaches the others", async () => {
    const world = new RetainedWorld(1_000);
    const nodes = [0, 0, 0].map((skew) => world.add(skew));
    const [publisher, one, other] = nodes as [RetainedNode, RetainedNode, RetainedNode];
    for (const node of [one, other]) node.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    const [late] = publisher.streamTo(one.id).items.splice(0);
    publisher.streams.clear();
    world.kill(publisher, 0);
    await world.converge();
    if (late !== undefined) one.take(publisher, late);
    await arrived(world);
    expect(values(world, "t/1")).toEqual(["0", "0"]);
    await world.close();
  });

  test("a value whose stamp is too far ahead comes once, however often nodes compare", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, reader] = [world.add(600_000), world.add(0)];
    await world.converge();
    world.publish(publisher, "t/1");
    for (let i = 0; i < 3; i++) {
      reader.read("#");
      await world.converge();
      reader.lose(publisher, "lost");
      await arrived(world);
      world.wall += 1_000;
    }
    await world.converge();
    expect(reader.readers.map(({ got }) => got.get("t/1"))).toEqual([["0"], ["0"], ["0"]]);
    await world.close();
  });

  test("what a node handed on before it was lost reaches those that never met it", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, relay] = [world.add(0), world.add(0)];
    relay.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    await world.converge();
    world.kill(publisher, 0);
    await world.converge();
    const [one, other] = [world.add(0), world.add(0)];
    const meet = async (first: RetainedNode, second: RetainedNode): Promise<void> => {
      first.meet(second);
      second.meet(first);
      await arrived(world);
    };
    for (const node of [one, other]) node.read("#");
    await meet(one, other);
    await meet(relay, one);
    relay.isRunning = false;
    await arrived(world);
    const [, ...readers] = world.readers;
    expect(readers.map(({ got }) => got.size)).toEqual([1, 0]);
    one.lose(relay, "lost");
    await arrived(world);
    expect(readers.map(({ got }) => got.get("t/1"))).toEqual([["0"], ["0"]]);
    await world.close();
  });

  test("what a lost publisher sent to others reaches a node whose routes they do not know yet", async () => {
    const world = new RetainedWorld(1_000);
    const nodes = [0, 0, 0].map((skew) => world.add(skew));
    const [publisher, one, other] = nodes as [RetainedNode, RetainedNode, RetainedNode];
    one.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    while (world.deliver(0)) await world.pause();
    other.read("#");
    // It asks, and the publisher does not answer any more. Those who see it as live do not answer for it.
    publisher.isRunning = false;
    for (let i = 0; i < 3; i++) {
      while (world.deliver(0)) await world.pause();
      await world.pause();
    }
    publisher.streams.clear();
    for (const node of [one, other]) node.lose(publisher, "lost");
    for (let i = 0; i < 3; i++) {
      while (world.deliver(0)) await world.pause();
      await world.pause();
    }
    expect(values(world, "t/1")).toEqual(["0", "0"]);
    await world.close();
  });

  test("what is published between a node's question and its routes reaches it", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, reader] = [world.add(0), world.add(0)];
    await world.converge();
    reader.read("t/+");
    while (world.deliver(0)) await world.pause();
    world.publish(publisher, "t/1");
    await world.converge();
    expect(values(world, "t/1")).toEqual(["0"]);
    await world.close();
  });

  test("what is published after a node was lost that had asked reaches it, before its routes are known", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, reader] = [world.add(0), world.add(0)];
    await world.converge();
    reader.read("t/+");
    await arrived(world);
    publisher.lose(reader, "lost");
    publisher.meet(reader);
    world.publish(publisher, "t/1");
    await arrived(world);
    expect(values(world, "t/1")).toEqual(["0"]);
    await world.close();
  });

  test("what was taken back while a node had no subscription does not come from its copy", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, reader] = [world.add(0), world.add(0)];
    await world.converge();
    world.publish(publisher, "t/1");
    world.publish(publisher, "t/2");
    reader.read("#");
    await world.converge();
    expect(values(world, "t/1")).toEqual(["0"]);
    await endSubscriptions(world);
    world.publish(publisher, "t/1", true);
    await world.converge();
    reader.read("#");
    await world.pause();
    // Its publisher has not answered yet.
    expect([...(world.readers.at(-1)?.got ?? [])]).toEqual([]);
    await world.converge();
    expect([...(world.readers.at(-1)?.got ?? [])]).toEqual([["t/2", ["1"]]]);
    await world.close();
  });

  test("a copy is given when its live publisher does not answer, or is lost before it does", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, reader] = [world.add(0), world.add(0)];
    reader.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    await world.converge();
    await endSubscriptions(world);
    world.cut(publisher, reader);
    for (const answers of ["too late", "never"]) {
      reader.read("#");
      await world.pause();
      const { got } = world.readers.at(-1) as Reader;
      vi.advanceTimersByTime(4_990);
      await world.pause();
      expect(got.size).toBe(0);
      if (answers === "never") reader.lose(publisher, "lost");
      else vi.advanceTimersByTime(20);
      await world.pause();
      expect([...got]).toEqual([["t/1", ["0"]]]);
      if (answers === "too late") await world.converge();
      expect([...got]).toEqual([["t/1", ["0"]]]);
      world.cut(publisher, reader);
    }
    await world.close();
  });

  test("a copy that its publisher has no longer is not given, also before that of the later publisher comes", async () => {
    const world = new RetainedWorld(1_000);
    const nodes = [0, 0, 0].map((skew) => world.add(skew));
    const [publisher, later, reader] = nodes as [RetainedNode, RetainedNode, RetainedNode];
    reader.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    await world.converge();
    await endSubscriptions(world);
    publisher.read("#");
    await world.converge();
    world.wall += 1;
    world.publish(later, "t/1");
    while (world.deliver(0)) await world.pause();
    world.cut(later, reader);
    reader.read("#");
    for (let i = 0; i < 3; i++) {
      while (world.deliver(0)) await world.pause();
      await world.pause();
    }
    expect([...(world.readers.at(-1)?.got ?? [])]).toEqual([]);
    await world.converge();
    expect([...(world.readers.at(-1)?.got ?? [])]).toEqual([["t/1", ["1"]]]);
    await world.close();
  });

  test("a copy that its publisher has no longer is given when that is lost with the later one", async () => {
    const world = new RetainedWorld(1_000);
    const nodes = [0, 0, 0].map((skew) => world.add(skew));
    const [publisher, later, reader] = nodes as [RetainedNode, RetainedNode, RetainedNode];
    for (const node of [publisher, reader]) node.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    await world.converge();
    // What comes later does not reach the reader's node, whose next subscription waits for it.
    world.wall += 1;
    world.publish(later, "t/1");
    later.streams.delete(reader.id);
    reader.read("#");
    world.cut(later, reader);
    await arrived(world);
    const got = reader.readers.map((each) => each.got.get("t/1"));
    expect(got).toEqual([["0"], undefined]);
    for (const node of [publisher, later]) world.kill(node, 255);
    await world.converge();
    expect(reader.readers.map((each) => each.got.get("t/1"))).toEqual([["0"], ["0"]]);
    await world.close();
  });

  test("a node that is reminded to ask again waits with its copies until it has an answer", async () => {
    const world = new RetainedWorld(1_000);
    const [publisher, reader] = [world.add(0), world.add(0)];
    reader.read("#");
    await world.converge();
    world.publish(publisher, "t/1");
    world.publish(publisher, "t/2");
    await world.converge();
    await endSubscriptions(world);
    world.publish(publisher, "t/1", true);
    reader.read("#");
    reader.read("#");
    // The publisher loses the reader, and its answers.
    for (const item of reader.streamTo(publisher.id).items.splice(0)) publisher.take(reader, item);
    await world.pause();
    publisher.lose(reader, "lost");
    publisher.meet(reader);
    // Well before it would have to do without an answer.
    await arrived(world);
    for (const { got } of reader.readers) expect([...got]).toEqual([["t/2", ["1"]]]);
    await world.close();
  });

  test("come in one order, and are the same everywhere in the end", {
    timeout: LONG ? 3_600_000 : 60_000,
  }, async () => {
    const skews = fc.array(fc.nat(4), { minLength: 2, maxLength: 5 });
    const start = fc.tuple(skews, fc.boolean(), fc.nat(31), fc.nat(255));
    const mark = fc.constantFrom(1_000, 1_000, 1_000, 2);
    const acts = fc.array(act, { minLength: 10, maxLength: 80, size: "max" });
    await fc.assert(fc.asyncProperty(mark, start, acts, story), { numRuns: RUNS });
  });
});
