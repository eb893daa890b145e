/** The keys of a map that updates go round. */
import type { Side } from "../side.js";

/** Update k sets key k mod n; a run of fewer updates than keys has as many keys as updates. */
export function keysOf(side: Side): string[] {
  const count = Math.min(side.number("keys", 1_000), side.warmup + side.count);
  return Array.from({ length: count }, (_, i) => keyOf(i));
}

export function keyOf(i: number): string {
  return `/bench/${String(i).padStart(8, "0")}`;
}
