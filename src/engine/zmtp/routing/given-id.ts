/**
 * The program's object for a peer's routing id: the same object with each message and at the end of the
 * connection. Programs can use it as a key that differs from a later connection with the same id. If the
 * program writes to it, it gets another one.
 */
import type { Pipe } from "../pipe.js";

/** The object given last; `undefined` before the first, and after the program has written to it. */
export function lastGiven({ givenId, routingId }: Pipe): Buffer | undefined {
  return givenId !== undefined && routingId !== undefined && isSameId(givenId, routingId)
    ? givenId
    : undefined;
}

/** A loop, because most ids have 5 bytes and a call of `Buffer.compare` costs more. */
export function isSameId(one: Uint8Array, other: Uint8Array): boolean {
  const { length } = other;
  if (one.length !== length) return false;
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false;
  return true;
}
