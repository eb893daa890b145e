import { describe, expect, test } from "vitest";
import { decodeMetadata, encodeMetadata, MAX_PROPERTIES } from "../../../../src/engine/zmtp/codec/command.js";

const NONE = Buffer.alloc(0);

test("values are copies: the memory of a read is used again", () => {
  const bytes = encodeMetadata([["Identity", Buffer.from("me")]]);
  const properties = decodeMetadata(bytes) as Map<string, Buffer>;
  bytes.fill(0);
  expect(String(properties.get("identity"))).toBe("me");
});

describe("is refused:", () => {
  test("a property without a name", () => {
    expect(decodeMetadata(Buffer.from("0000000000", "hex"))).toBe("a property without a name");
  });

  test(`more than ${MAX_PROPERTIES} properties, even 100,000`, () => {
    const many = (count: number) =>
      encodeMetadata(Array.from({ length: count }, (_, i) => [`X-${i}`, NONE] as const));
    expect(decodeMetadata(many(MAX_PROPERTIES))).toHaveProperty("size", MAX_PROPERTIES);
    expect(decodeMetadata(many(MAX_PROPERTIES + 1))).toBe("more than 256 properties");
    expect(decodeMetadata(many(100_000))).toBe("more than 256 properties");
  });
});
