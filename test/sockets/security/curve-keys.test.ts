import { expect, test } from "vitest";
import { InvalidArgumentError } from "../../../src/core/errors.js";
import { encodeZ85 } from "../../../src/core/z85.js";
import { curvePublicKey } from "../../../src/sockets/security/curve-keys.js";
import { thrown } from "../../contract/support/wait.js";

const z85 = (hex: string): string => encodeZ85(Buffer.from(hex, "hex"));

test.each([
  // RFC 7748, 5.2: the first iteration, whose scalar is the base point.
  [`09${"00".repeat(31)}`, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"],
  // RFC 7748, 6.1: Bob's pair.
  [
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  ],
])("the public key of %s is the one that RFC 7748 gives", (secret, publicKey) => {
  expect(curvePublicKey(z85(secret))).toBe(z85(publicKey));
});

test.each([
  ["an empty text", ""],
  ["16 bytes", z85("00".repeat(16))],
  ["36 bytes", z85("00".repeat(36))],
  ["a foreign character", `${"S3cret".repeat(6)}000~`],
])("%s is no secret key, and is not quoted", (_, key) => {
  const error = thrown(() => curvePublicKey(key));
  expect(error).toBeInstanceOf(InvalidArgumentError);
  if (key !== "") expect(error.message).not.toContain(key.slice(0, 6));
});
