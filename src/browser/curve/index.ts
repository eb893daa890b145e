/**
 * CURVE for `shoal/browser` (26/CURVEZMQ): by the packages `@noble/ciphers` and `@noble/curves`, which are part of this
 * module. Sockets have it from the call of `enableCurve` on.
 *
 * @module
 */
import { curveClient, curveServer } from "../../engine/zmtp/mechanism/curve.js";
import { sealerOf } from "../../engine/zmtp/sealer.js";
import { ADDITIONS } from "../additions.js";
// In one file, what both entry points need is in the first.
import "../index.js";

export type { CurveKeyPair } from "../../sockets/security/curve-keys.js";
export { curveKeyPair, curvePublicKey } from "./keys.js";

/**
 * Gives the sockets of `shoal/browser` the mechanism CURVE: the options `curveServerKey`, `curvePublicKey` and
 * `curveSecretKey` work from now on. A second call does nothing.
 */
export function enableCurve(): void {
  ADDITIONS.curve ??= {
    server: curveServer,
    client: curveClient,
    sealer: sealerOf,
  };
}
