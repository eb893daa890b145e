import { expect, test } from "vitest";
import { encodeGreeting, GREETING_SIZE, parseGreeting } from "../../../../src/engine/zmtp/codec/command.js";
import fc, { forAll } from "../../../support/properties.js";

const greeting = encodeGreeting("NULL", false);
const changed = (at: number, ...bytes: number[]): Buffer => {
  const copy = Buffer.from(greeting);
  copy.set(bytes, at);
  return copy;
};

test.each([
  ["NULL", false],
  ["PLAIN", true],
  ["CURVE", false],
])("%s comes back, with the role", (mechanism, asServer) => {
  expect(parseGreeting(encodeGreeting(mechanism, asServer))).toEqual({ minor: 1, mechanism, asServer });
});

test.each([
  ["another first byte", changed(0, 0x47), 1, "signature"],
  ["no signature's end", changed(9, 0x7e), 10, "signature"],
  ["version 1", changed(10, 1), 11, "version"],
  ["version 2", changed(10, 2), 11, "version"],
  ["no mechanism", changed(12, ...new Array<number>(20).fill(0)), 64, "mechanism"],
  ["small letters", changed(12, 0x6e), 64, "mechanism"],
  ["letters behind the padding", changed(20, 0x41), 64, "mechanism"],
  ["a space", changed(13, 0x20), 64, "mechanism"],
])("a wrong greeting is known as soon as it shows: %s", (_, bytes, at, fault) => {
  expect(parseGreeting(bytes.subarray(0, at - 1))).toBeUndefined();
  for (let length = at; length <= GREETING_SIZE; length++)
    expect(parseGreeting(bytes.subarray(0, length))).toBe(fault);
});

test("padding and filler are never looked at; the first byte of libzmq's padding is its routing id's length", () => {
  forAll(
    [fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.uint8Array({ minLength: 31, maxLength: 31 })],
    { numRuns: 500 },
    (padding, filler) => {
      const bytes = changed(1, ...padding);
      bytes.set(filler, 33);
      expect(parseGreeting(bytes)).toEqual({ minor: 1, mechanism: "NULL", asServer: false });
    },
  );
});

test("a peer of version 3.0 has its minor; of a higher major version, ours", () => {
  expect(parseGreeting(changed(11, 0))).toMatchObject({ minor: 0 });
  expect(parseGreeting(changed(11, 9))).toMatchObject({ minor: 9 });
  expect(parseGreeting(changed(10, 4, 0))).toMatchObject({ minor: 1 });
  expect(parseGreeting(changed(10, 255, 255))).toMatchObject({ minor: 1 });
});
