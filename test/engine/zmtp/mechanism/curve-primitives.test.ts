import { describe, expect, test } from "vitest";
import { TAG_LENGTH } from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import fc from "../../../support/properties.js";
import { NACL } from "../../../vectors/mechanism.js";
import { BOXES } from "./support.js";

const key = Buffer.from(NACL.key, "hex");
const nonce = Buffer.from(NACL.nonce, "hex");
const plain = Buffer.from(NACL.plain, "hex");
const secretKey = Buffer.from(NACL.secretKey, "hex");
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

  test("opens nothing with a damaged byte", () => {
    for (let at = 0; at < sealed.length; at++) {
      const damaged = Buffer.from(sealed);
      damaged[at] = damaged.readUInt8(at) ^ 1;
      expect(box.open(Buffer.alloc(plain.length), damaged, nonce, key)).toBe(false);
    }
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

  test("agrees on the key of NaCl's example, from wherever the public key stands", () => {
    for (const offset of [0, 1, 2, 3]) {
      const memory = Buffer.alloc(40);
      memory.set(Buffer.from(NACL.peerPublicKey, "hex"), offset);
      const agreed = box.agree(memory.subarray(offset, offset + 32), secretKey);
      expect(Buffer.from(agreed ?? []).toString("hex")).toBe(NACL.key);
    }
    expect(box.publicKeyOf(secretKey).toString("hex")).toBe(NACL.publicKey);
  });

  // RFC 7748, 6.1: points whose result does not depend on the secret key.
  test.each([
    "00".repeat(32),
    `01${"00".repeat(31)}`,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    `ec${"ff".repeat(30)}7f`,
    `ed${"ff".repeat(30)}7f`,
  ])("agrees on no key with the point %s", (point) => {
    expect(box.agree(Buffer.from(point, "hex"), secretKey)).toBeUndefined();
  });

  test.each([
    0, 1, 31, 32, 33, 63, 64, 65, 65_615, 65_616, 65_617, 9_000_000,
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
