import { describe, expect, test } from "vitest";
import { checkCallOptions, checkInteger, checkKeys, quoted, refuseExtra } from "../../src/core/arguments.js";
import { suggest } from "../../src/core/suggestions.js";

const KNOWN = ["signal", "timeout"];
const refused = (message: string) => expect.objectContaining({ code: "EINVAL", message });

describe("the options of a call", () => {
  test.each([
    [undefined],
    [{}],
    [{ timeout: 1 }],
    [{ signal: undefined, timeout: undefined }],
    [Object.create({ timeout: 1 })],
    [Object.assign(Object.create(null), { timeout: 1 })],
  ])("%j pass", (options) => {
    expect(() => checkCallOptions("receive", options, KNOWN)).not.toThrow();
  });

  test.each([
    [{ tiemout: 1 }, "receive has no option tiemout; did you mean timeout?"],
    [{ timeout: 1, singal: undefined }, "receive has no option singal; did you mean signal?"],
    [{ zzz: 1 }, "receive has no option zzz; known are signal, timeout"],
    [100, "The options of receive must be an object; got 100"],
    [null, "The options of receive must be an object; got null"],
    ["x", 'The options of receive must be an object; got "x"'],
    [[], "The options of receive must be an object; got an array"],
    [
      new AbortController().signal,
      "The options of receive must be an object, { signal }; got an AbortSignal",
    ],
  ])("%j do not", (options, message) => {
    expect(() => checkCallOptions("receive", options, KNOWN)).toThrow(refused(message));
    expect(() => checkKeys("receive", options as object, KNOWN)).toThrow(refused(message));
  });
});

test("a whole number is within its bounds, ends included", () => {
  expect([
    checkInteger("max", 1),
    checkInteger("linger", -1, -1, 9),
    checkInteger("linger", 9, -1, 9),
  ]).toEqual([1, -1, 9]);
  for (const [value, shown] of [
    [-2, "-2"],
    [10, "10"],
    [0.5, "0.5"],
    [Number.NaN, "NaN"],
    ["1", '"1"'],
    [null, "null"],
  ])
    expect(() => checkInteger("linger", value, -1, 9)).toThrow(
      refused(`linger must be a whole number from -1 to 9; got ${shown}`),
    );
});

test("arguments too many are named; undefined counts as none", () => {
  expect(() => refuseExtra("bind", "an endpoint", [undefined])).not.toThrow();
  expect(() => refuseExtra("bind", "an endpoint", [undefined, 5])).toThrow(
    refused("bind takes an endpoint, and nothing else; got 5, too"),
  );
});

test.each([
  ["short", '"short"'],
  ["x".repeat(60), `"${"x".repeat(60)}"`],
  ["x".repeat(61), `"${"x".repeat(60)}…"`],
  [5, "5"],
  [undefined, "undefined"],
  [null, "null"],
  [1n, "1"],
  [Object.create(null), "an object"],
])("a text is quoted with 60 letters at most, and other values are described", (text, shown) => {
  expect(quoted(text)).toBe(shown);
});

test("a word far from all known ones suggests none", () => {
  expect([suggest("conect", ["connect", "close"]), suggest("zebra", ["connect", "close"])]).toEqual([
    "; did you mean connect?",
    "",
  ]);
});
