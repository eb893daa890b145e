/** Both sides of CURVE, for the table of mechanisms (admission.ts). A page adds them. */
import { CurveClient } from "./curve-client.js";
import { CurveServer } from "./curve-server.js";
import type { Mechanism, MechanismOptions } from "./mechanism.js";

export function curveServer(options: MechanismOptions): Mechanism {
  return new CurveServer(options);
}

export function curveClient(options: MechanismOptions): Mechanism {
  return new CurveClient(options);
}
