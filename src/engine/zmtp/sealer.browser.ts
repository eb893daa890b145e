/** Replaces engine/zmtp/sealer.ts: ciphers exist only once CURVE is added. */

import { ADDITIONS } from "../../browser/additions.js";
import type { FrameCipher } from "./mechanism/mechanism.js";
import type { Sealer } from "./sealer.js";

export type { Sealer };

export function sealerOf(cipher: FrameCipher): Sealer | undefined {
  return ADDITIONS.curve?.sealer(cipher);
}
