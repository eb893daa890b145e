/** Replaces engine/zmtp/sealer.ts: ciphers exist only once CURVE is added. */
import type { FrameCipher } from "../../engine/zmtp/mechanism/mechanism.js";
import type { Sealer } from "../../engine/zmtp/sealer.js";
import { ADDITIONS } from "../additions.js";

export type { Sealer };

export function sealerOf(cipher: FrameCipher): Sealer | undefined {
  return ADDITIONS.curve?.sealer(cipher);
}
