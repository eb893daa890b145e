/** A page's messages are all copied; stands in for engine/zmtp/transferred.ts. */
export const TRANSFERS = false;

export function framesOf(): never {
  throw new Error("A page passes no frames");
}
