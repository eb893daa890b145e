/**
 * Replaces engine/zmtp/mechanism/curve.ts. CURVE is an addition (shoal/browser/curve), since
 * X25519 and its boxes are larger than most pages want.
 */
import { ADDITIONS, type CurveParts } from "../../../browser/additions.js";
import { NotSupportedError } from "../../../core/errors.js";
import type { Mechanism, MechanismOptions } from "./mechanism.js";

function parts(): CurveParts {
  if (ADDITIONS.curve !== undefined) return ADDITIONS.curve;
  throw new NotSupportedError(
    'A page has CURVE after: import { enableCurve } from "shoal/browser/curve"; enableCurve()',
  );
}

export function curveServer(options: MechanismOptions): Mechanism {
  return parts().server(options);
}

export function curveClient(options: MechanismOptions): Mechanism {
  return parts().client(options);
}
