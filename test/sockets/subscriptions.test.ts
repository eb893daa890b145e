import { expect, test } from "vitest";
import { MAX_COUNTED_PREFIXES, SubscriptionTable } from "../../src/sockets/pub-sub.js";

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
