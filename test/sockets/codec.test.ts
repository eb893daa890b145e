import { pack } from "msgpackr";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { InvalidMessageError, NotSupportedError } from "../../src/core/errors.js";
import { type Codec, json, msgpack, text } from "../../src/sockets/codec.js";
import { BYTES } from "../support/bytes.js";
import fc, { forAll } from "../support/properties.js";

function onWire(codec: Codec<unknown>, value: unknown): Buffer {
  return Buffer.from(codec.encode(value) as Buffer);
}

/** Values that JSON and MessagePack both keep as they are. */
const plain = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);

describe("text", () => {
  test("keeps every text that has a UTF-8 form, byte-order marks and all", () => {
    forAll([fc.string({ unit: "binary" })], {}, (value) => {
      expect(text().decode(onWire(text(), value))).toBe(value);
    });
    expect(text().decode(Buffer.from("\uFEFFx"))).toBe("\uFEFFx");
  });

  test.each(["ff", "c0af", "eda080", "f8888080", "e282", "80", "61c3"])("refuses %s: no UTF-8", (hex) => {
    expect(() => text().decode(Buffer.from(hex, "hex"))).toThrow();
  });

  test("goes on as before after a frame that is cut in the middle of a character", () => {
    const codec = text();
    expect(() => codec.decode(Buffer.from("e282", "hex"))).toThrow();
    expect(codec.decode(Buffer.from("ok"))).toBe("ok");
  });

  test.each([5, null, undefined, Buffer.from("x"), ["x"]])("does not send %s", (value) => {
    expect(() => text().encode(value as never)).toThrow(InvalidMessageError);
  });
});

describe("json", () => {
  test("keeps every JSON value", () => {
    forAll([plain], {}, (value) => {
      expect(json().decode(onWire(json(), value))).toEqual(value);
    });
  });

  test.each([
    ["undefined", undefined],
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
  ])("has no form for %s", (_, value) => {
    expect(() => json().encode(value)).toThrow(InvalidMessageError);
  });

  test.each(["", "{", "nul", "{'a':1}", '{"a":1}x', "\u0000"])("does not decode %j", (frame) => {
    expect(() => json().decode(Buffer.from(frame))).toThrow();
  });

  test("does not let a frame reach the prototype of objects", () => {
    const value = json().decode(Buffer.from('{"__proto__":{"polluted":1}}')) as object;
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(Object.keys(value)).toEqual(["__proto__"]);
  });
});

describe("msgpack", () => {
  test("keeps every plain value", () => {
    forAll([plain], {}, (value) => {
      // msgpackr renames the key __proto__, so that no frame can set a prototype.
      fc.pre(!JSON.stringify(value).includes("__proto__"));
      expect(msgpack().decode(onWire(msgpack(), value))).toEqual(value);
    });
  });

  test("writes plain MessagePack that other languages read", () => {
    // A map of one pair, in its short form or in the two-byte one.
    expect(onWire(msgpack(), { a: [1, "x", null, true] }).toString("hex")).toMatch(
      /^(81|de0001)a1619401a178c0c3$/,
    );
    expect(onWire(msgpack(), [1, 2])).toEqual(Buffer.from([0x92, 1, 2]));
  });

  test("refuses every frame that is cut short", () => {
    forAll([plain, fc.nat()], {}, (value, cut) => {
      const frame = onWire(msgpack(), value);
      const part = Buffer.from(frame.subarray(0, cut % frame.length));
      expect(() => msgpack().decode(part)).toThrow();
    });
  });

  test("decodes any bytes to a value or an error, and does not fall for a huge declared length", () => {
    const codec = msgpack();
    forAll([fc.uint8Array({ maxLength: 24 })], { numRuns: 2_000, defaultRuns: 150 }, (bytes) => {
      try {
        codec.decode(Buffer.from(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    });
    for (const hex of ["dd7fffffff", "ddffffffff", "df7fffffff", "dbffffffff", "c6ffffffff", "c9ffffffff01"])
      expect(() => codec.decode(Buffer.from(hex, "hex")), hex).toThrow();
    expect(codec.decode(onWire(codec, { still: "well" }))).toEqual({ still: "well" });
  });

  test("does not let a frame reach the prototype of objects", () => {
    msgpack().decode(Buffer.from(pack(new Map([["__proto__", { polluted: 1 }]]))));
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe("deep nesting", () => {
  const depth = 100_000;

  test("in a received frame is a value or an error, and the codec works on", () => {
    const frames: [Codec<unknown>, Buffer][] = [
      [json(), Buffer.from("[".repeat(depth) + "]".repeat(depth))],
      [msgpack(), Buffer.alloc(depth, 0x91)],
    ];
    for (const [codec, frame] of frames) {
      try {
        codec.decode(frame);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
      expect(codec.decode(onWire(codec, [1]))).toEqual([1]);
    }
  });

  test("in a value to send is an error, and the codec works on", () => {
    let value: unknown[] = [];
    for (let i = 0; i < depth; i++) value = [value];
    for (const codec of [json(), msgpack()]) {
      expect(() => codec.encode(value)).toThrow();
      expect(codec.decode(onWire(codec, [1]))).toEqual([1]);
    }
  });
});

describe("a schema", () => {
  const zod = z.object({ id: z.number(), tag: z.string().default("none") });
  const valibot = v.object({ id: v.number(), tag: v.optional(v.string(), "none") });

  test.each([
    ["zod", json(zod)],
    ["valibot", json(valibot)],
    ["zod over MessagePack", msgpack(zod)],
  ] as [string, Codec<unknown>][])("of %s transforms what is received", (_, codec) => {
    expect(codec.decode(onWire(codec, { id: 1 }))).toEqual({ id: 1, tag: "none" });
  });

  test.each([
    ["zod", json(zod)],
    ["valibot", json(valibot)],
  ] as [string, Codec<unknown>][])("of %s refuses both ways, with the issues and their paths", (_, codec) => {
    for (const attempt of [() => codec.encode({ id: "1" }), () => codec.decode(Buffer.from('{"id":"1"}'))]) {
      expect(attempt).toThrow(
        expect.objectContaining({
          code: "ERR_INVALID_MESSAGE",
          message: expect.stringMatching(/schema: id: /),
          cause: expect.any(Array),
        }),
      );
    }
  });

  test("sends the value itself, so that a transformation happens once, at the receiver", () => {
    const codec = json(z.string().transform((value) => `${value}!`)) as Codec<unknown>;
    expect(String(codec.encode("a"))).toBe('"a"');
    expect(codec.decode(onWire(codec, "a"))).toBe("a!");
  });

  test("of text gets the text", () => {
    const codec = text(z.string().max(3));
    expect(codec.decode(Buffer.from("abc"))).toBe("abc");
    expect(() => codec.decode(Buffer.from("abcd"))).toThrow(InvalidMessageError);
    expect(() => codec.encode("abcd")).toThrow(InvalidMessageError);
  });

  test("that validates asynchronously is refused, even when it would reject", async () => {
    const rejecting = {
      "~standard": { version: 1 as const, vendor: "test", validate: () => Promise.reject(new Error("late")) },
    };
    const foreign = {
      "~standard": {
        version: 1 as const,
        vendor: "test",
        // biome-ignore lint/suspicious/noThenProperty: a promise of another kind than the platform's
        validate: () => ({ then: () => undefined }) as never,
      },
    };
    for (const schema of [z.string().refine(async () => true), rejecting, foreign]) {
      const codec = json(schema);
      expect(() => codec.encode("a" as never)).toThrow(NotSupportedError);
      expect(() => codec.decode(Buffer.from('"a"'))).toThrow(NotSupportedError);
    }
    // A rejection that nobody handles would fail this run from here.
    await new Promise((resolve) => setImmediate(resolve));
  });
});

test.each(
  Object.entries(BYTES),
)("the bytes of %s arrive whole by MessagePack, and are refused by JSON, which would make another object of them", (_, make) => {
  expect(msgpack().decode(onWire(msgpack(), make()))).toEqual(Buffer.from([1, 2, 3, 4]));
  expect(() => json().encode(make())).toThrow(InvalidMessageError);
});
