/**
 * What the two servers of a Binary Star publish to each other, over PUB and SUB both ways.
 *
 *   one frame, one ASCII digit
 *   31  PRIMARY   a primary that has not heard from its backup yet
 *   32  BACKUP    a backup that has not heard from its primary yet
 *   33  ACTIVE    it serves
 *   34  PASSIVE   it stands by
 *
 * The ZeroMQ Guide's bstar sends the same. No RFC describes it. Servers with a replica
 * (rules.ts) send its position as a second frame, and take no message without one: a
 * pair of them and one of the Guide's do not mix. See docs/patterns/binary-star.md.
 */
/** A server's state, by the digit that stands for it on the wire. */
export const BinaryStarState = { PRIMARY: 1, BACKUP: 2, ACTIVE: 3, PASSIVE: 4 } as const;

/** One of the digits in {@link BinaryStarState}. */
export type BinaryStarState = (typeof BinaryStarState)[keyof typeof BinaryStarState];

const ZERO = 0x30;

/** The message of a state: one frame of one byte. */
export function encodeState(state: BinaryStarState): Buffer {
  return Buffer.of(ZERO + state);
}

/** @returns the state, or `undefined` for anything but one digit from 1 to 4 in the first of `count` frames */
export function parseState(frames: readonly Uint8Array[], count = 1): BinaryStarState | undefined {
  const [frame] = frames;
  if (frames.length !== count || frame?.length !== 1) return undefined;
  const digit = (frame[0] as number) - ZERO;
  return digit >= BinaryStarState.PRIMARY && digit <= BinaryStarState.PASSIVE
    ? (digit as BinaryStarState)
    : undefined;
}
