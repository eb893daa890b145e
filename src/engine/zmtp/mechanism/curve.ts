/** Both sides of CURVE, for the table of mechanisms (admission.ts). A browser has them by an import of its own (src/browser). */
import { CurveClient } from "./curve-client.js";
import { CurveServer } from "./curve-server.js";
import type { Mechanism, MechanismOptions } from "./mechanism.js";

export function curveServer(options: MechanismOptions): Mechanism {
  return new CurveServer(options);
}

export function curveClient(options: MechanismOptions): Mechanism {
  return new CurveClient(options);
}
