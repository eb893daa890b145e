/** CURVE key pairs (26/CURVEZMQ, Security Handshake): X25519 as Z85. */

import { randomBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { publicKeyOf } from "../../core/x25519.js";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";

/** Permanent CURVE keys, each 32 bytes as 40 characters of Z85. */
export interface CurveKeyPair {
  readonly publicKey: string;
  readonly secretKey: string;
}

const KEY_LENGTH = 32;

/** A random key pair from the operating system's random source. */
export function curveKeyPair(): CurveKeyPair {
  const secretKey = randomBytes(KEY_LENGTH);
  return { publicKey: encodeZ85(publicKeyOf(secretKey)), secretKey: encodeZ85(secretKey) };
}

/**
 * @param secretKey 40 characters of Z85
 * @throws InvalidArgumentError `EINVAL`
 */
export function curvePublicKey(secretKey: string): string {
  const bytes = decodeZ85(secretKey);
  if (bytes.length !== KEY_LENGTH)
    throw new InvalidArgumentError("A CURVE secret key has 40 characters of Z85");
  return encodeZ85(publicKeyOf(bytes));
}
