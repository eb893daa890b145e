import { describe, expect, test } from "vitest";
import { byteLengthOf, toFrame, toMessage } from "../../src/sockets/message.js";
import fc from "../support/properties.js";

describe("a frame", () => {
  test.each([
    [0, "0"],
    [-1.5, "-1.5"],
    [1e21, "1e+21"],
    [Number.NaN, "NaN"],
  ])("of the number %s is its decimal text", (value, text) => {
    expect(toFrame(value)).toBe(text);
  });

  test.each([
    ["undefined", undefined, "undefined"],
    ["true", true, "boolean"],
    ["a BigInt", 1n, "bigint"],
    ["a symbol", Symbol("s"), "symbol"],
    ["a function", () => undefined, "function"],
    ["an object", { length: 3 }, "object"],
    ["an array", ["a"], "an array"],
  ])("is not %s", (_, value, got) => {
    expect(() => toFrame(value)).toThrow(
      expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(`got ${got}`) }),
    );
  });
});

describe("a message", () => {
  test("is a frame, or an array of frames, copied as an array and not as frames", () => {
    const body = Buffer.from("body");
    const given = ["topic", body, null, 5];
    const message = toMessage(given) as unknown[];
    given.length = 0;
    expect(message).toEqual(["topic", body, Buffer.alloc(0), "5"]);
    expect(message[1]).toBe(body);
    expect(toMessage(body)).toBe(body);
  });

  test.each([
    ["no frames", []],
    ["a hole", new Array(2)],
    ["an array in an array", [["a"]]],
    ["something that is no frame, last", ["a", "b", undefined]],
  ])("does not have %s", (_, value) => {
    expect(() => toMessage(value)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test("has the length of its frames as they are encoded", () => {
    const frame = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.uint8Array(),
      fc.uint16Array(),
      fc.double(),
      fc.constant(null),
    );
    fc.assert(
      fc.property(fc.oneof(frame, fc.array(frame, { minLength: 1, maxLength: 8 })), (value) => {
        const message = toMessage(value);
        const frames = Array.isArray(message) ? message : [message];
        const encoded = frames.map((part) => Buffer.from(part).length);
        expect(byteLengthOf(message)).toBe(encoded.reduce((sum, length) => sum + length, 0));
      }),
      { numRuns: 1_000 },
    );
  });
});
