/** Keys as text are for CURVE, which a page adds: without it their options are refused later; stands in for core/z85.ts. */
import { ADDITIONS } from "../additions.js";

const NO_KEY = 32;

export function decodeZ85(text: string): Buffer {
  return ADDITIONS.curve?.decodeZ85(text) ?? Buffer.alloc(NO_KEY);
}

export function encodeZ85(bytes: Uint8Array): string {
  return ADDITIONS.curve?.encodeZ85(bytes) ?? "";
}
