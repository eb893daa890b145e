/**
 * CURVE for `shoal/browser` (26/CURVEZMQ), with the packages `@noble/ciphers` and `@noble/curves`, which are part of
 * this module. Call `enableCurve` first.
 *
 * @module
 */
import { curveClient, curveServer } from "../../engine/zmtp/mechanism/curve.ts";
import { sealerOf } from "../../engine/zmtp/sealer.ts";
import { ADDITIONS } from "../additions.js";
// Puts code shared by both entry points into the main one.
import "../index.js";

export type { CurveKeyPair } from "../../sockets/security/curve-keys.js";
export { curveKeyPair, curvePublicKey } from "./keys.js";

/**
 * Enables CURVE for the sockets of `shoal/browser`: the options `curveServerKey`, `curvePublicKey` and
 * `curveSecretKey` work from now on. A second call does nothing.
 */
export function enableCurve(): void {
  ADDITIONS.curve ??= {
    server: curveServer,
    client: curveClient,
    sealer: sealerOf,
  };
}
