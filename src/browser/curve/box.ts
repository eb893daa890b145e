/** CURVE's boxes by `@noble/ciphers`. The build puts it in the place of engine/zmtp/mechanism/curve-box.ts (rolldown.config.js). */
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { type NobleBox, nobleBoxOf } from "../../engine/zmtp/mechanism/noble-box.js";

export const TAG_LENGTH = 16;

const box = /* @__PURE__ */ nobleBoxOf(xsalsa20poly1305);

export function loadCurveBox(): NobleBox {
  return box;
}
