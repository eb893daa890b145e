import { describe, expect, test } from "vitest";
import { InvalidArgumentError, NotSupportedError } from "../../../../src/core/errors.js";
import {
  chooseCurveBox,
  nobleBox as noble,
  TAG_LENGTH,
} from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import fc from "../../../support/properties.js";
import { NACL } from "../../../vectors/mechanism.js";
import { BOXES } from "./support.js";

const key = Buffer.from(NACL.key, "hex");
const nonce = Buffer.from(NACL.nonce, "hex");
const plain = Buffer.from(NACL.plain, "hex");
const sealed = Buffer.from(NACL.sealed, "hex");

describe.each(BOXES)("$name", (box) => {
  test("seals and opens NaCl's own example", () => {
    const target = Buffer.alloc(plain.length + TAG_LENGTH);
    box.seal(target, plain, nonce, key);
    expect(target.toString("hex")).toBe(NACL.sealed);
    const opened = Buffer.alloc(plain.length);
    expect(box.open(opened, sealed, nonce, key)).toBe(true);
    expect(opened).toEqual(plain);
  });

  test("works in place, anywhere in a larger buffer, and touches nothing else", () => {
    for (const offset of [0, 1, 2, 3, 7]) {
      const memory = Buffer.alloc(sealed.length + 16, 0xee);
      const inPlace = memory.subarray(offset, offset + sealed.length);
      inPlace.set(plain, TAG_LENGTH);
      box.seal(inPlace, inPlace.subarray(TAG_LENGTH), nonce, key);
      expect(inPlace).toEqual(sealed);
      expect(box.open(inPlace.subarray(TAG_LENGTH), inPlace, nonce, key)).toBe(true);
      expect(inPlace.subarray(TAG_LENGTH)).toEqual(plain);
      expect(memory.subarray(0, offset).every((byte) => byte === 0xee)).toBe(true);
      expect(memory.subarray(offset + sealed.length).every((byte) => byte === 0xee)).toBe(true);
    }
  });

  test("does not open what was damaged anywhere, nor with another key or nonce", () => {
    const opened = Buffer.alloc(plain.length);
    for (let at = 0; at < sealed.length; at++) {
      const damaged = Buffer.from(sealed);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      expect(box.open(opened, damaged, nonce, key)).toBe(false);
    }
    expect(box.open(opened, sealed, nonce, Buffer.alloc(32))).toBe(false);
    expect(box.open(opened, sealed, Buffer.alloc(24), key)).toBe(false);
    expect(box.open(opened, sealed, nonce, key)).toBe(true);
  });

  test("seals nothing into a tag", () => {
    const tag = Buffer.alloc(TAG_LENGTH);
    box.seal(tag, Buffer.alloc(0), nonce, key);
    expect(box.open(Buffer.alloc(0), tag, nonce, key)).toBe(true);
    expect(box.open(Buffer.alloc(0), Buffer.alloc(TAG_LENGTH), nonce, key)).toBe(false);
  });

  test.each([
    0, 1, 31, 32, 33, 63, 64, 65, 131_039, 131_040, 131_041, 300_000,
  ])("%i bytes come back", (length) => {
    const text = Buffer.alloc(length, "text");
    const target = Buffer.alloc(length + TAG_LENGTH);
    box.seal(target, text, nonce, key);
    const opened = Buffer.alloc(length);
    expect(box.open(opened, target, nonce, key)).toBe(true);
    expect(opened.equals(text)).toBe(true);
  });
});

test("all give the same bytes", () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), bytes(24), bytes(32), (text, someNonce, someKey) => {
      const [one, ...others] = BOXES.map((box) => {
        const target = Buffer.alloc(text.length + TAG_LENGTH);
        box.seal(target, text, someNonce, someKey);
        return target;
      });
      for (const other of others) expect(other).toEqual(one);
    }),
    { numRuns: 500, defaultRuns: 80 },
  );
});

describe("SHOAL_CURVE", () => {
  const missing = () => {
    throw new Error("no such addon");
  };

  test.each(["wasm", "noble"])("insists on %s", (choice) => {
    expect(chooseCurveBox(choice).name).toBe(choice);
  });

  test.each(["sodium", "wasm", "noble"])("insists on %s, and says so where it does not load", (choice) => {
    const choose = () => chooseCurveBox(choice, missing, missing, missing);
    expect(choose).toThrow(NotSupportedError);
    expect(choose).toThrow(
      expect.objectContaining({ code: "ERR_ENGINE_UNAVAILABLE", cause: expect.any(Error) }),
    );
  });

  test.each(["sodium", "noble"])("%s for everything has nothing else for short frames", (choice) => {
    const box = { ...noble(), name: choice as "sodium" };
    expect(chooseCurveBox(choice, () => box, noble).short).toBeUndefined();
  });

  test.each([
    undefined,
    "",
  ])("unset (%j), WebAssembly stands in for a sodium that does not load, then noble", (choice) => {
    expect(chooseCurveBox(choice, missing).name).toBe("wasm");
    expect(chooseCurveBox(choice, missing, noble, missing).name).toBe("noble");
    expect(chooseCurveBox(choice).name).toBe(BOXES[0]?.name);
    expect(() => chooseCurveBox(choice, missing, missing, missing)).toThrow(NotSupportedError);
  });

  test("unset, short frames do not go to native code", () => {
    expect(chooseCurveBox("", () => ({ ...noble(), name: "sodium" })).short).toBeDefined();
  });

  test("refuses another word", () => {
    expect(() => chooseCurveBox("salt")).toThrow(InvalidArgumentError);
  });
});
