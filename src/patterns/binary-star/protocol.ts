/**
 * States that the two servers of a Binary Star publish to each other, over PUB and SUB both ways.
 *
 *   one frame, one ASCII digit
 *   31  PRIMARY   a primary that has not heard from its backup yet
 *   32  BACKUP    a backup that has not heard from its primary yet
 *   33  ACTIVE    it serves
 *   34  PASSIVE   it stands by
 *
 * As in the Guide's bstar; there is no RFC. With a replica (rules.ts), its position is a second frame.
 */
export const BinaryStarState = { PRIMARY: 1, BACKUP: 2, ACTIVE: 3, PASSIVE: 4 } as const;

export type BinaryStarState = (typeof BinaryStarState)[keyof typeof BinaryStarState];

const ZERO = 0x30;

export function encodeState(state: BinaryStarState): Buffer {
  return Buffer.of(ZERO + state);
}

/** @returns `undefined` unless the first of `count` frames is one digit from 1 to 4 */
export function parseState(frames: readonly Uint8Array[], count = 1): BinaryStarState | undefined {
  const [frame] = frames;
  if (frames.length !== count || frame?.length !== 1) return undefined;
  const digit = (frame[0] as number) - ZERO;
  return digit >= BinaryStarState.PRIMARY && digit <= BinaryStarState.PASSIVE
    ? (digit as BinaryStarState)
    : undefined;
}
