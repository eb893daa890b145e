import { expect, test } from "vitest";
import { RecentBytes } from "../../../../src/engine/zmtp/codec/recent-bytes.js";

test("knows the last four, by all their bytes", () => {
  const recent = new RecentBytes<string>();
  for (const name of ["one", "two", "six", "ten", "two!"]) recent.add(Buffer.from(name), name);
  const find = (text: string, length = text.length): string | undefined =>
    recent.find(Buffer.from(text), length);
  expect(["one", "two", "six", "ten", "two!"].map((name) => find(name))).toEqual([
    undefined,
    "two",
    "six",
    "ten",
    "two!",
  ]);
  expect([find("two?", 3), find("tw"), find("twO"), find("")]).toEqual([
    "two",
    undefined,
    undefined,
    undefined,
  ]);
});
