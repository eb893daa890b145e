import { describe, expect, test } from "vitest";
import { InvalidArgumentError } from "../../src/core/errors.js";
import { decodeZ85, encodeZ85 } from "../../src/core/z85.js";
import { thrown } from "../contract/support/wait.js";
import fc, { forAll } from "../support/properties.js";

const KNOWN: readonly (readonly [hex: string, text: string])[] = [
  ["864fd26fb559f75b", "HelloWorld"], // 32/Z85, Test Case
  ["00000000", "00000"],
  ["00000001", "00001"],
  ["00000055", "00010"],
  ["ffffffff", "%nSc0"],
  // 26/CURVEZMQ's test server key, as libzmq's documentation shows it.
  [
    "54fcba24e93249969316fb617c872bb0c1d1ff14800427c594cbfacf1bc2d652",
    "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
  ],
];

test.each(KNOWN)("%s is %s", (hex, text) => {
  expect(encodeZ85(Buffer.from(hex, "hex"))).toBe(text);
  expect(decodeZ85(text).toString("hex")).toBe(hex);
});

test("bytes come back as they were, from any place in a larger buffer", () => {
  const groups = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((part) => {
    const bytes = new Uint8Array(part.length * 4 + 3);
    for (const [i, value] of part.entries()) bytes.fill(value ^ i, 3 + i * 4, 3 + i * 4 + (value % 5));
    return bytes.subarray(3);
  });
  forAll([groups], { numRuns: 1_000 }, (bytes) => {
    const text = encodeZ85(bytes);
    expect(text).toHaveLength((bytes.length / 4) * 5);
    expect([...decodeZ85(text)]).toEqual([...bytes]);
  });
});

describe("refuses", () => {
  test.each([0, 1, 2, 3, 5, 31, 33])("to encode %i bytes", (length) => {
    expect(() => encodeZ85(new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(`${length} bytes`) }),
    );
  });

  test.each(["", "1", "1234", "123456", "0".repeat(39)])("to decode a text of another length: %j", (text) => {
    expect(() => decodeZ85(text)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  test.each(["%nSc1", "#####", "%nSd0"])("the group %s above four bytes", (text) => {
    expect(() => decodeZ85(text)).toThrow(/above 4 bytes at 0/);
  });

  test.each([
    ...`"'\\,;_\`|~ \u0000\u007f\u0080\u0100€`,
  ])("the foreign character %j, and says where", (character) => {
    expect(() => decodeZ85(`00000${character}0000`)).toThrow(/outside its alphabet at 5/);
  });

  const OTHERS = [undefined, null, 5, {}, ["0", "0", "0", "0", "0"]];
  test.each(OTHERS)("%j, which is neither text nor bytes", (value) => {
    expect(() => decodeZ85(value as never)).toThrow(InvalidArgumentError);
    expect(() => encodeZ85(value as never)).toThrow(InvalidArgumentError);
  });

  test("a secret without quoting any of it", () => {
    const secret = `${"S3cretKey.".repeat(4).slice(0, 35)}~~~~~`;
    for (const text of [secret, secret.slice(0, 38)])
      expect(thrown(() => decodeZ85(text)).message).not.toContain("S3cret");
  });
});
