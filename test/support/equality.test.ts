/** Bytes in expectations: equal ones at once, and no others. */
import { expect, it } from "vitest";

/** What an expectation reports; empty: nothing. */
function failureOf(check: () => void): string {
  try {
    check();
    return "";
  } catch (error) {
    return String(error);
  }
}

it("takes equal bytes for equal, at once", () => {
  const [one, other] = [Buffer.alloc(1_000_000, 7), Buffer.alloc(1_000_000, 7)];
  const { user: before } = process.cpuUsage();
  expect([one, 1]).toEqual([other, 1]);
  expect({ one }).toStrictEqual({ one: other });
  // One by one they take several seconds.
  expect(process.cpuUsage().user - before).toBeLessThan(1_000_000);
});

it("takes others for others, and shows them", () => {
  const bytes = Buffer.from([1, 2, 3]);
  for (const other of [Buffer.from([1, 2, 4]), Buffer.from([1, 2]), Buffer.alloc(0), "123", undefined])
    expect(failureOf(() => expect([bytes]).toEqual([other]))).toMatch(/deeply equal/);
  expect(failureOf(() => expect(bytes).toStrictEqual(new Uint8Array([1, 2, 3])))).not.toBe("");
});
