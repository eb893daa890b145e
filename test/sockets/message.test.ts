import { describe, expect, test } from "vitest";
import { byteLengthOf, toFrame, toMessage } from "../../src/sockets/message.js";
import fc from "../support/properties.js";

describe("a frame", () => {
  test("of text stays text, to be sent as UTF-8", () => {
    expect(toFrame("héllo")).toBe("héllo");
    expect(toFrame("")).toBe("");
  });

  test("of bytes is the very same object, not a copy", () => {
    const buffer = Buffer.from("bytes");
    const array = new Uint8Array([1, 2, 3]);
    expect(toFrame(buffer)).toBe(buffer);
    expect(toFrame(array)).toBe(array);
  });

  test.each([
    ["DataView", new DataView(new Uint8Array([1, 2, 3, 4, 5]).buffer, 1, 3), [2, 3, 4]],
    ["Uint16Array", new Uint16Array(new Uint8Array([1, 2, 3, 4, 5, 6]).buffer, 2, 1), [3, 4]],
    ["Float64Array", new Float64Array(1), [0, 0, 0, 0, 0, 0, 0, 0]],
    ["ArrayBuffer", new Uint8Array([7, 8]).buffer, [7, 8]],
    ["SharedArrayBuffer", new SharedArrayBuffer(3), [0, 0, 0]],
  ])("of a %s has its bytes", (_, value, bytes) => {
    expect([...(toFrame(value) as Uint8Array)]).toEqual(bytes);
  });

  test("of a view shares its memory", () => {
    const memory = new Uint8Array([1, 2, 3, 4]);
    const frames = [new DataView(memory.buffer, 1, 2), memory.buffer].map(toFrame) as Uint8Array[];
    memory[1] = 99;
    expect(frames.map((frame) => [...frame])).toEqual([
      [99, 3],
      [1, 99, 3, 4],
    ]);
  });

  test.each([
    [0, "0"],
    [-1.5, "-1.5"],
    [1e21, "1e+21"],
    [Number.NaN, "NaN"],
  ])("of the number %s is its decimal text", (value, text) => {
    expect(toFrame(value)).toBe(text);
  });

  test("of null is empty", () => {
    expect(byteLengthOf(toFrame(null))).toBe(0);
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
