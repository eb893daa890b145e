/** What is wrong with CURVE's options, where the page has added it; stands in for sockets/security/curve-check.ts. */
import type { SecurityFault } from "../../sockets/security/curve-check.js";
import { ADDITIONS } from "../additions.js";

export function curveFault(has: (option: string) => boolean, isServer: boolean): SecurityFault | undefined {
  return ADDITIONS.curve?.fault(has, isServer);
}
