import { expect, test } from "vitest";
import { agreeOnKey, keyPairOf, newKeyPair } from "../../../../src/engine/zmtp/mechanism/curve-exchange.js";
import { NACL } from "../../../vectors/mechanism.js";

const hex = (text: string): Buffer => Buffer.from(text, "hex");

test("NaCl's own example: the public key, and the key of both", () => {
  const pair = keyPairOf(hex(NACL.secretKey));
  expect(pair.publicKey.toString("hex")).toBe(NACL.publicKey);
  expect(Buffer.from(agreeOnKey(hex(NACL.peerPublicKey), pair) ?? []).toString("hex")).toBe(NACL.key);
});

test("two new pairs agree, and with nobody else", () => {
  const [a, b, c] = [newKeyPair(), newKeyPair(), newKeyPair()];
  expect(agreeOnKey(a.publicKey, b)).toEqual(agreeOnKey(b.publicKey, a));
  expect(agreeOnKey(a.publicKey, b)).not.toEqual(agreeOnKey(a.publicKey, c));
  expect(keyPairOf(a.secretKey)).toMatchObject({ publicKey: a.publicKey, secretKey: a.secretKey });
});

test("a public key is read from wherever it stands", () => {
  const pair = keyPairOf(hex(NACL.secretKey));
  for (const offset of [1, 2, 3]) {
    const memory = Buffer.alloc(40);
    memory.set(hex(NACL.peerPublicKey), offset);
    expect(Buffer.from(agreeOnKey(memory.subarray(offset, offset + 32), pair) ?? []).toString("hex")).toBe(
      NACL.key,
    );
  }
});

// RFC 7748, 6.1: points whose result does not depend on the secret key.
test.each([
  "00".repeat(32),
  `01${"00".repeat(31)}`,
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  `ec${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}7f`,
])("no key comes of the point %s", (point) => {
  expect(agreeOnKey(hex(point), newKeyPair())).toBeUndefined();
});

test("a pair is kept with its key's array, and made again when that changes", () => {
  const secret = Buffer.alloc(32, 1);
  const first = keyPairOf(secret);
  expect(keyPairOf(secret)).toBe(first);
  secret.fill(2);
  const second = keyPairOf(secret);
  expect(second.secretKey).toEqual(Buffer.alloc(32, 2));
  expect(second.publicKey).not.toEqual(first.publicKey);
  expect(first.secretKey).toEqual(Buffer.alloc(32, 1));
});
