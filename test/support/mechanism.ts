import { mechanismOf } from "../../src/engine/zmtp/admission.js";
import { NODE_PARTS } from "../../src/engine/zmtp/engine.js";
import type { Mechanism, MechanismOptions } from "../../src/engine/zmtp/mechanism/mechanism.js";

/** A mechanism for one handshake. @param isServer the role that the socket's options would give it */
export function createMechanism(
  name: Mechanism["name"],
  isServer: boolean,
  options: MechanismOptions,
): Mechanism {
  return mechanismOf({ name, isServer }, options, NODE_PARTS.curve);
}
