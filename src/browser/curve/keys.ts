/** CURVE key pairs without node:crypto. */
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";
import { KEY_LENGTH } from "../../engine/zmtp/mechanism/curve-box.js";
import { publicKeyOf, randomBytes } from "../../engine/zmtp/mechanism/curve-primitives.browser.js";
import type { CurveKeyPair } from "../../sockets/security/curve-keys.js";

/** A random key pair from `crypto.getRandomValues`. */
export function curveKeyPair(): CurveKeyPair {
  const secretKey = randomBytes(KEY_LENGTH);
  return { publicKey: encodeZ85(publicKeyOf(secretKey)), secretKey: encodeZ85(secretKey) };
}

/**
 * @param secretKey 40 characters of Z85
 * @throws InvalidArgumentError `EINVAL` for an invalid key
 */
export function curvePublicKey(secretKey: string): string {
  const bytes = decodeZ85(secretKey);
  if (bytes.length !== KEY_LENGTH)
    throw new InvalidArgumentError("A CURVE secret key has 40 characters of Z85");
  return encodeZ85(publicKeyOf(bytes));
}
