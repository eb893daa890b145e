/** The codec of hexadecimal text. */
import { expect, it } from "vitest";
import { hex } from "../../src/index.js";

it("hex sends pairs of digits as bytes, and refuses anything else", () => {
  const codec = hex();
  expect(codec.decode(Buffer.from(codec.encode("0Aff") as Buffer))).toBe("0aff");
  for (const wrong of ["0", "0g", 1]) expect(() => codec.encode(wrong as string)).toThrow("hexadecimal");
});
