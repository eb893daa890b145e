/**
 * CURVE where it is an import of its own: what `shoal/browser/curve` has brought along. The build puts it in the place of
 * engine/zmtp/mechanism/curve.ts (rolldown.config.js).
 */
import { NotSupportedError } from "../core/errors.js";
import type { Mechanism, MechanismOptions } from "../engine/zmtp/mechanism/mechanism.js";

interface Roles {
  curveServer(options: MechanismOptions): Mechanism;
  curveClient(options: MechanismOptions): Mechanism;
}

let roles: Roles | undefined;

export function provideCurve(given: Roles): void {
  roles = given;
}

function provided(): Roles {
  if (roles === undefined)
    throw new NotSupportedError(
      'CURVE is an import of its own here: import { enableCurve } from "shoal/browser/curve", and call it once',
    );
  return roles;
}

export function curveServer(options: MechanismOptions): Mechanism {
  return provided().curveServer(options);
}

export function curveClient(options: MechanismOptions): Mechanism {
  return provided().curveClient(options);
}
