import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { describe as given } from "../../src/core/arguments.js";
import { InvalidArgumentError } from "../../src/core/errors.js";
import { json, text } from "../../src/sockets/codec.js";
import { type ShapeName, shapeFor } from "../../src/sockets/message.js";

const B = Buffer.from;

const NO_CODECS = [null, "json", 5, {}, { encode: () => "" }, { encode: "no", decode: "no" }, json];
test.each(NO_CODECS)("%s is no codec", (codec) => {
  expect(() => shapeFor("body", codec)).toThrow(InvalidArgumentError);
  expect(() => shapeFor("body", codec)).toThrow(`; got ${given(codec)}`);
});

test.each([
  ["body", [], "an array of 0"],
  ["body", ["a", "b"], "an array of 2"],
  ["topic", "v", "a single value"],
  ["topic", ["v"], "an array of 1"],
  ["topic", ["t", "u", "v"], "an array of 3"],
  ["routed", "v", "a single value"],
  ["routed", ["v"], "an array of 1"],
] as [ShapeName, unknown, string][])("%s: %j cannot be sent", (name, value, got) => {
  expect(() => shapeFor(name, text()).encode(value)).toThrow(
    expect.objectContaining({ code: "ERR_INVALID_MESSAGE", message: expect.stringContaining(`got ${got}`) }),
  );
});

test.each([
  ["undefined", undefined],
  ["a promise", Promise.resolve("v")],
  ["an array", ["v"]],
  ["an object", { length: 3 }],
])("a codec that returns %s cannot send", (_, encoded) => {
  const codec = { name: "odd", encode: () => encoded, decode: (frame: Buffer) => frame };
  for (const [name, value] of [
    ["body", "v"],
    ["topic", ["t", "v"]],
  ] as const) {
    expect(() => shapeFor(name, codec).encode(value)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  }
});

test("a codec may return any view or its memory", () => {
  for (const encoded of [new Float64Array(2), new ArrayBuffer(16), new DataView(new ArrayBuffer(16))]) {
    const codec = { name: "views", encode: () => encoded, decode: (frame: Buffer) => frame };
    expect(shapeFor("topic", codec).encode(["t", "v"])).toMatchObject(["t", new Uint8Array(16)]);
  }
});

test.each([
  ["body", 2],
  ["topic", 1],
  ["topic", 3],
  ["routed", 1],
] as [ShapeName, number][])("%s: a message of %i frames is reported, not handed over", (name, count) => {
  const onInvalid = vi.fn();
  expect(shapeFor(name, text()).decode(new Array<Buffer>(count).fill(B("v")), onInvalid)).toBeUndefined();
  expect(onInvalid).toHaveBeenCalledExactlyOnceWith(
    "frames",
    expect.objectContaining({
      code: "ERR_INVALID_MESSAGE",
      message: expect.stringContaining(`${count} frames`),
    }),
  );
});

test("a schema that cannot check a received message at once is reported as its codec's fault", () => {
  const onInvalid = vi.fn();
  const codec = json(z.string().refine(async () => true));
  expect(shapeFor("body", codec).decode([B('"a"')], onInvalid)).toBeUndefined();
  expect(onInvalid).toHaveBeenCalledExactlyOnceWith(
    "codec",
    expect.objectContaining({ code: "ERR_INVALID_MESSAGE", cause: expect.anything() }),
  );
});

describe("what is wrong with a value to send", () => {
  test("is reported for the frames before the body, too", () => {
    expect(() => shapeFor("topic", json()).encode([{}, "v"])).toThrow(
      expect.objectContaining({ code: "EINVAL" }),
    );
  });

  test("is reported as it is when the schema cannot check at once", () => {
    const shape = shapeFor("body", json(z.string().refine(async () => true)));
    expect(() => shape.encode("a")).toThrow(expect.objectContaining({ code: "NOT_SUPPORTED" }));
  });
});
