import { expect, test } from "vitest";
import { SubscriptionIndex } from "../../../../src/engine/zmtp/routing/subscription-index.js";
import { collectGarbage } from "../../../support/collect-garbage.js";
import { LONG } from "../../../support/long.js";
import fc, { forAll } from "../../../support/properties.js";

interface Subscriber {
  readonly name: number;
}

/** The rule as one would say it: a list of pairs. */
class Oracle {
  readonly pairs = new Map<string, Set<Subscriber>>();

  add(prefix: string, who: Subscriber): string {
    const all = this.pairs.get(prefix) ?? new Set();
    this.pairs.set(prefix, all);
    if (all.has(who)) return "known";
    all.add(who);
    return all.size === 1 ? "first" : "added";
  }

  remove(prefix: string, who: Subscriber): string {
    const all = this.pairs.get(prefix);
    if (all?.delete(who) !== true) return (all?.size ?? 0) > 0 ? "foreign" : "unknown";
    if (all.size > 0) return "removed";
    this.pairs.delete(prefix);
    return "last";
  }

  match(topic: string): Set<number> {
    const found = new Set<number>();
    for (const [prefix, all] of this.pairs)
      if (topic.startsWith(prefix)) for (const { name } of all) found.add(name);
    return found;
  }
}

const short = fc.string({ unit: fc.constantFrom("a", "b", "\0", "\u00ff"), maxLength: 5 });
const long = fc
  .tuple(fc.constantFrom(60, 63, 64, 90), short)
  .map(([length, end]) => "a".repeat(length) + end);
const prefix = fc.oneof(short, long);
const step = fc.record({
  how: fc.constantFrom("add", "add", "add", "remove", "removeAll", "match", "match"),
  prefix,
  who: fc.nat(4),
});

test("it answers every schedule as a list of pairs would", () => {
  const subscribers: Subscriber[] = Array.from({ length: 5 }, (_, name) => ({ name }));
  forAll([fc.array(step, { maxLength: 120 })], { numRuns: 600, defaultRuns: 40 }, (steps) => {
    const [index, oracle] = [new SubscriptionIndex<Subscriber>(), new Oracle()];
    for (const { how, prefix, who } of steps) {
      const subscriber = subscribers[who] as Subscriber;
      if (how === "add") expect(index.add(prefix, subscriber)).toBe(oracle.add(prefix, subscriber));
      else if (how === "remove")
        expect(index.remove(prefix, subscriber)).toBe(oracle.remove(prefix, subscriber));
      else if (how === "removeAll") {
        const heard: [string, string][] = [];
        const mine = [...oracle.pairs].filter(([, all]) => all.has(subscriber)).map(([key]) => key);
        heard.push(...index.removeAll(subscriber));
        expect(heard.sort()).toEqual(mine.map((key) => [key, oracle.remove(key, subscriber)]).sort());
      } else {
        const found = new Set<number>();
        index.match(Buffer.from(prefix, "latin1"), ({ name }) => found.add(name));
        expect(found).toEqual(oracle.match(prefix));
      }
      expect(index.size).toBe(oracle.pairs.size);
      const own = [...oracle.pairs].filter(([, all]) => all.has(subscriber)).map(([key]) => key);
      expect(index.countOf(subscriber)).toBe(own.length);
      expect(index.bytesOf(subscriber)).toBe(own.reduce((sum, key) => sum + key.length, 0));
      expect(index.has(prefix, subscriber)).toBe(own.includes(prefix));
    }
  });
});

/** ms of computing since: what others do on the machine does not count. */
function stopwatch(): () => number {
  const from = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1_000;
  };
}

// SHOAL_LONG=1: a million prefixes, which fit in 400 MiB within 60 s; otherwise a tenth of all that.
const TENTHS = LONG ? 10 : 1;
test(
  `${TENTHS}/10 of a million prefixes fit in as much of 400 MiB, and a tenth as many topics find theirs, all within ${TENTHS}/10 of 60 s of computing`,
  () => {
    const count = TENTHS * 100_000;
    const index = new SubscriptionIndex<Subscriber>();
    const subscribers: Subscriber[] = Array.from({ length: 10 }, (_, name) => ({ name }));
    const before = process.memoryUsage().heapUsed;
    const computing = stopwatch();
    for (let i = 0; i < count; i++) index.add(`topic/${i}/`, subscribers[i % 10] as Subscriber);
    const used = process.memoryUsage().heapUsed - before;
    expect(used).toBeLessThan(TENTHS * 40 * 1_048_576);
    expect(index.size).toBe(count);
    let right = 0;
    for (let i = 0; i < count; i += 10) {
      index.match(Buffer.from(`topic/${i}/body`), ({ name }) => {
        if (name === 0) right += 1;
      });
    }
    expect(right).toBe(count / 10);
    let found = 0;
    index.match(Buffer.from("topic/none/of/these"), () => void found++);
    expect(found).toBe(0);
    let removed = 0;
    for (const subscriber of subscribers) removed += index.removeAll(subscriber).length;
    expect([removed, index.size]).toEqual([count, 0]);
    expect(computing()).toBeLessThan(TENTHS * 6_000);
  },
  TENTHS * 60_000,
);

test("long prefixes that came and went leave no memory behind", () => {
  const index = new SubscriptionIndex<Subscriber>();
  const restless: Subscriber = { name: 0 };
  /** @returns bytes that are used afterwards */
  const pass = (from: number, to: number): number => {
    for (let i = from; i < to; i++) {
      const prefix = `${"x".repeat(100)}${i}`;
      index.add(prefix, restless);
      index.remove(prefix, restless);
    }
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = pass(0, 1_000);
  // Empty lists of all that came would be more than 500,000.
  expect(pass(1_000, 11_000) - before).toBeLessThan(200_000);
});
