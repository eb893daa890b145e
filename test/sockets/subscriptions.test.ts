import { expect, test } from "vitest";
import { MAX_COUNTED_PREFIXES, SubscriptionTable } from "../../src/sockets/pub-sub.js";
import fc from "../support/properties.js";

const topic = fc
  .array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 4 })
  .map((bytes) => Buffer.from(bytes));

test("counts as a plain list of prefixes does", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), topic), { maxLength: 60 }),
      fc.array(topic),
      (steps, asked) => {
        const table = new SubscriptionTable();
        const list: Buffer[] = [];
        for (const [add, prefix] of steps) {
          if (add) {
            table.add(prefix);
            list.push(prefix);
          } else {
            table.remove(prefix);
            const at = list.findIndex((known) => known.equals(prefix));
            if (at >= 0) list.splice(at, 1);
          }
          expect(table.total).toBe(list.length);
        }
        for (const one of asked) {
          const matches = list.filter((prefix) => one.subarray(0, prefix.length).equals(prefix));
          expect(table.matching(one)).toBe(matches.length);
        }
      },
    ),
    { numRuns: 1_000, defaultRuns: 170 },
  );
});

test("keeps to its bound, whatever peers subscribe to, and goes on counting what it knows", () => {
  const table = new SubscriptionTable();
  for (let i = 0; i < MAX_COUNTED_PREFIXES + 10; i++) table.add(Buffer.from(`topic ${i}`));
  expect(table.total).toBe(MAX_COUNTED_PREFIXES);
  table.add(Buffer.from("topic 0"));
  expect(table.total).toBe(MAX_COUNTED_PREFIXES + 1);
  table.remove(Buffer.from(`topic ${MAX_COUNTED_PREFIXES + 5}`));
  expect(table.total).toBe(MAX_COUNTED_PREFIXES + 1);
  table.remove(Buffer.from("topic 1"));
  table.add(Buffer.from("new"));
  expect(table.matching(Buffer.from("new topic"))).toBe(1);
});
