/**
 * The object that a program has of a peer's routing id: the same with each message and with the end of the connection, so that
 * a program finds by it what it keeps of the connection, and not what it keeps of a later one that has the same id. The program
 * may write to it; then it gets another.
 */
import type { Pipe } from "../pipe.js";

/** What the program got last; `undefined`: nothing yet, or it has written to it. */
export function lastGiven({ givenId, routingId }: Pipe): Buffer | undefined {
  return givenId !== undefined && routingId !== undefined && isSameId(givenId, routingId)
    ? givenId
    : undefined;
}

/** Most ids have 5 bytes: a call of `Buffer.compare` costs more. */
export function isSameId(one: Uint8Array, other: Uint8Array): boolean {
  const { length } = other;
  if (one.length !== length) return false;
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false;
  return true;
}
