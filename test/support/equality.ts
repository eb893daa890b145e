/**
 * Equal bytes are compared as bytes: `toEqual` alone looks at them one by one, as at elements of an array, which takes seconds
 * for a megabyte. What differs is compared, and shown, as ever.
 */
import { expect } from "vitest";

declare global {
  /** Files share a process, and its testers. */
  var shoalComparesBytes: true | undefined;
}

/** Two of the same class. @returns `undefined`: not decided here */
function sameBytes(one: unknown, other: unknown): true | undefined {
  if (!(one instanceof Uint8Array && other instanceof Uint8Array)) return undefined;
  if (one.constructor !== other.constructor || one.length !== other.length) return undefined;
  return Buffer.compare(one, other) === 0 ? true : undefined;
}

if (globalThis.shoalComparesBytes === undefined) {
  globalThis.shoalComparesBytes = true;
  expect.addEqualityTesters([sameBytes]);
}
