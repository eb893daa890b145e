/**
 * CURVE for `shoal/browser` (26/CURVEZMQ), with the bundled packages `@noble/ciphers` and `@noble/curves`. Call
 * `enableCurve` first.
 *
 * @module
 */

import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";
import { KEY_LENGTH } from "../../engine/zmtp/mechanism/curve-box.js";
import { CurveClient } from "../../engine/zmtp/mechanism/curve-client.js";
import { publicKeyOf, randomBytes } from "../../engine/zmtp/mechanism/curve-primitives.browser.js";
import { CurveServer } from "../../engine/zmtp/mechanism/curve-server.js";
import { NO_CURVE, PAGE_PARTS } from "../parts.js";
// Puts code shared by both entry points into the main one.
import "../index.js";
import type { CurveKeyPair } from "../../sockets/security/curve-keys.js";

export type { CurveKeyPair };

/**
 * Enables CURVE for the sockets of `shoal/browser`: the options `curveServerKey`, `curvePublicKey` and `curveSecretKey`
 * then work. Further calls do nothing.
 */
export function enableCurve(): void {
  if (PAGE_PARTS.curve !== NO_CURVE) return;
  PAGE_PARTS.curve = {
    server: (options) => new CurveServer(options),
    client: (options) => new CurveClient(options),
  };
}

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
