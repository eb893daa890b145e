/**
 * The program's object for a peer's routing id: the same for one connection, unless the program writes to it.
 */
import type { Pipe } from "../pipe.js";

/** `undefined` also after the program has written to it. */
export function lastGiven({ givenId, routingId }: Pipe): Buffer | undefined {
  return givenId !== undefined && routingId !== undefined && isSameId(givenId, routingId)
    ? givenId
    : undefined;
}

/** For the usual 5 bytes, a call of `Buffer.compare` costs more. */
export function isSameId(one: Uint8Array, other: Uint8Array): boolean {
  const { length } = other;
  if (one.length !== length) return false;
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false;
  return true;
}
