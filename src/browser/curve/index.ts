/**
 * CURVE for `shoal/browser` (26/CURVEZMQ), with the bundled packages `@noble/ciphers` and `@noble/curves`. Call
 * `enableCurve` first.
 *
 * @module
 */

import { CurveClient, CurveServer } from "../../engine/zmtp/mechanism/curve.js";
import { NO_CURVE, PAGE_PARTS } from "../parts.js";
import { NOBLE } from "./noble.js";
// Puts code shared by both entry points into the main one.
import "../index.js";

export { type CurveKeyPair, curveKeyPair, curvePublicKey } from "../../sockets/security/curve-keys.js";

/**
 * Enables CURVE for the sockets of `shoal/browser`: the options `curveServerKey`, `curvePublicKey` and `curveSecretKey`
 * then work. Further calls do nothing.
 */
export function enableCurve(): void {
  if (PAGE_PARTS.curve !== NO_CURVE) return;
  const primitives = { load: () => undefined, box: () => NOBLE };
  PAGE_PARTS.curve = {
    server: (options) => new CurveServer(options, primitives),
    client: (options) => new CurveClient(options, primitives),
  };
}
