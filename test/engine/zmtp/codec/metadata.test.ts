import { describe, expect, test } from "vitest";
import { parseCommand } from "../../../../src/engine/zmtp/codec/command.js";
import {
  decodeMetadata,
  encodeMetadata,
  MAX_PROPERTIES,
} from "../../../../src/engine/zmtp/codec/metadata.js";
import { bodyOf, READY_DEALER, READY_PUB } from "../../../vectors/mechanism.js";

const NONE = Buffer.alloc(0);

function ofReady(frame: string): Buffer {
  return parseCommand(bodyOf(frame))?.data ?? NONE;
}

test("what libzmq's DEALER and PUB declare of themselves", () => {
  expect(decodeMetadata(ofReady(READY_DEALER))).toEqual(
    new Map([
      ["socket-type", Buffer.from("DEALER")],
      ["identity", NONE],
    ]),
  );
  expect(decodeMetadata(ofReady(READY_PUB))).toEqual(new Map([["socket-type", Buffer.from("PUB")]]));
});

test("the same properties encode to libzmq's bytes", () => {
  const properties: [string, Uint8Array][] = [
    ["Socket-Type", Buffer.from("DEALER")],
    ["Identity", NONE],
  ];
  expect(encodeMetadata(properties)).toEqual(ofReady(READY_DEALER));
  expect(encodeMetadata([])).toEqual(NONE);
});

test("values are copies: the chunk they came in may go", () => {
  const bytes = Buffer.from(ofReady(READY_PUB));
  const metadata = decodeMetadata(bytes);
  bytes.fill(0);
  expect(metadata).toEqual(new Map([["socket-type", Buffer.from("PUB")]]));
});

describe("is refused:", () => {
  test("metadata that ends inside a property, wherever", () => {
    const bytes = ofReady(READY_DEALER);
    const whole = encodeMetadata([["Socket-Type", Buffer.from("DEALER")]]).length;
    for (let length = 1; length < bytes.length; length++) {
      const result = decodeMetadata(bytes.subarray(0, length));
      if (length === whole) expect(result).toBeInstanceOf(Map);
      else expect(result).toBeTypeOf("string");
    }
  });

  test("bytes left over behind the last property", () => {
    expect(decodeMetadata(Buffer.concat([ofReady(READY_PUB), Buffer.from([1])]))).toBeTypeOf("string");
  });

  test("a property without a name", () => {
    expect(decodeMetadata(Buffer.from("0000000000", "hex"))).toBe("a property without a name");
  });

  test.each([
    "00000001",
    "7fffffff",
    "80000000",
    "ffffffff",
  ])("a value of %s bytes that are not there", (n) => {
    expect(decodeMetadata(Buffer.from(`0141${n}`, "hex"))).toBe(
      "a property whose value is longer than the metadata",
    );
  });

  test("a name that comes twice, in whatever case", () => {
    const bytes = encodeMetadata([
      ["Identity", Buffer.from("a")],
      ["IDENTITY", Buffer.from("b")],
    ]);
    expect(decodeMetadata(bytes)).toBe("a property that comes twice");
  });

  test(`more than ${MAX_PROPERTIES} properties, even 100,000`, () => {
    const many = (count: number) =>
      encodeMetadata(Array.from({ length: count }, (_, i) => [`X-${i}`, NONE] as const));
    expect(decodeMetadata(many(MAX_PROPERTIES))).toHaveProperty("size", MAX_PROPERTIES);
    expect(decodeMetadata(many(MAX_PROPERTIES + 1))).toBe("more than 256 properties");
    expect(decodeMetadata(many(100_000))).toBe("more than 256 properties");
  });
});
