import { expect, test } from "vitest";
import { keyPairOf, newKeyPair } from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import { BOXES } from "./support.js";

test.each(BOXES)("two new pairs agree, and with nobody else, by $name", (box) => {
  const [a, b, c] = [newKeyPair(box), newKeyPair(box), newKeyPair(box)];
  expect(box.agree(a.publicKey, b.secretKey)).toEqual(box.agree(b.publicKey, a.secretKey));
  expect(box.agree(a.publicKey, b.secretKey)).not.toEqual(box.agree(a.publicKey, c.secretKey));
  expect(keyPairOf(a.secretKey)).toEqual(a);
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
