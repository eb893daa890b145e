/**
 * No CURVE: its keys are agreed on by X25519, which a page has as a promise only, or from a package that is not part of this
 * one. The build puts it in the place of engine/zmtp/mechanism/curve.ts (rolldown.config.js).
 */
import { NotSupportedError } from "../../core/errors.js";

export function curveServer(): never {
  throw new NotSupportedError("A page has no CURVE: use PLAIN over wss://");
}

export const curveClient: typeof curveServer = curveServer;
