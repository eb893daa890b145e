/** Frames through a cipher, where the page has added CURVE, which makes ciphers; stands in for engine/zmtp/sealer.ts. */
import type { FrameCipher } from "../../engine/zmtp/mechanism/mechanism.js";
import type { Sealer } from "../../engine/zmtp/sealer.js";
import { ADDITIONS } from "../additions.js";

export type { Sealer };

export function sealerOf(cipher: FrameCipher): Sealer | undefined {
  return ADDITIONS.curve?.sealer(cipher);
}
