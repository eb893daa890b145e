/** Derives the mechanism, and this side's role in it, from a socket's options. */
import type { OptionValues } from "../../../core/option-table.js";
import type { Mechanism } from "./mechanism.js";

export interface ChosenMechanism {
  readonly name: Mechanism["name"];
  readonly isServer: boolean;
}

const NULL: ChosenMechanism = { name: "NULL", isServer: false };

export function chosenMechanism(options: Readonly<OptionValues>): ChosenMechanism {
  if (options.curveServer) return { name: "CURVE", isServer: true };
  if (options.curveServerKey !== null) return { name: "CURVE", isServer: false };
  if (options.plainServer) return { name: "PLAIN", isServer: true };
  if (options.plainUsername !== null) return { name: "PLAIN", isServer: false };
  return NULL;
}
