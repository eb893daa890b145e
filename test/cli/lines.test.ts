import { expect, test } from "vitest";
import { LineSplitter } from "../../src/cli/input.js";
import fc from "../support/properties.js";

function splitAll(chunks: readonly Buffer[], max?: number): Buffer[] {
  const splitter = new LineSplitter(max);
  const lines = chunks.flatMap((chunk) => splitter.push(chunk));
  const last = splitter.end();
  return last === undefined ? lines : [...lines, last];
}

test("LineSplitter gives the same lines however the bytes are cut into chunks", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 8 }), { maxLength: 8 }),
      (chunks) => {
        const buffers = chunks.map((bytes) => Buffer.from(bytes));
        const whole = Buffer.concat(buffers).toString("latin1");
        const expected = whole.split("\n");
        if (expected.at(-1) === "") expected.pop();
        expect(splitAll(buffers).map((line) => line.toString("latin1"))).toEqual(expected);
      },
    ),
  );
});

test("LineSplitter stops at a line above the bound, after the lines before it", () => {
  const splitter = new LineSplitter(4);
  expect(splitter.push(Buffer.from("abcd\nab")).map(String)).toEqual(["abcd"]);
  expect(splitter.tooLong).toBe(false);
  expect(splitter.push(Buffer.from("c\nabc")).map(String)).toEqual(["abc"]);
  expect(splitter.push(Buffer.from("de\nok\n"))).toEqual([]);
  expect(splitter.tooLong).toBe(true);
  expect(splitter.push(Buffer.from("ok\n"))).toEqual([]);
  expect(splitter.end()).toBeUndefined();
});

test("LineSplitter finds a line too long before its end has come", () => {
  const splitter = new LineSplitter(4);
  splitter.push(Buffer.from("abcde"));
  expect(splitter.tooLong).toBe(true);
});
