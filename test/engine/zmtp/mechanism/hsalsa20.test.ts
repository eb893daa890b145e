import { hsalsa } from "@noble/ciphers/salsa.js";
import { expect, test } from "vitest";
import { hsalsa20 } from "../../../../src/engine/zmtp/mechanism/hsalsa20.js";
import fc from "../../../support/properties.js";
import { NACL } from "../../../vectors/mechanism.js";

test("NaCl's own example: the key of a box from what X25519 gave", () => {
  const shared = Buffer.from(NACL.shared, "hex");
  expect(Buffer.from(hsalsa20(shared, new Uint8Array(16))).toString("hex")).toBe(NACL.key);
});

test("the same as @noble/ciphers, from wherever the bytes stand", () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const sigma = new Uint32Array(new TextEncoder().encode("expand 32-byte k").slice().buffer);
  const words = (part: Uint8Array) => new Uint32Array(part.slice().buffer);
  fc.assert(
    fc.property(bytes(35), bytes(19), fc.integer({ min: 0, max: 3 }), (keys, inputs, at) => {
      const [key, input] = [keys.subarray(at, at + 32), inputs.subarray(at, at + 16)];
      const theirs = new Uint32Array(8);
      hsalsa(sigma, words(key), words(input), theirs);
      expect(hsalsa20(key, input)).toEqual(new Uint8Array(theirs.buffer));
    }),
    { numRuns: 300 },
  );
});
