/**
 * The program's object for a peer's routing id: the same with each message and at the end of the connection,
 * but not that of a later connection. A program that writes to it gets another one.
 */
import type { Pipe } from "../pipe.js";

/** `undefined` before the first, and after the program has written to it. */
export function lastGiven({ givenId, routingId }: Pipe): Buffer | undefined {
  return givenId !== undefined && routingId !== undefined && isSameId(givenId, routingId)
    ? givenId
    : undefined;
}

/** Most ids have 5 bytes, for which a call of `Buffer.compare` costs more. */
export function isSameId(one: Uint8Array, other: Uint8Array): boolean {
  const { length } = other;
  if (one.length !== length) return false;
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false;
  return true;
}
