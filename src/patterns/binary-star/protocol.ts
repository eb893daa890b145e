/**
 * The two servers of a Binary Star publish their states to each other, over PUB and SUB in both directions. A state is a
 * frame with one byte:
 *
 *   31  PRIMARY   the primary has not heard from its backup yet
 *   32  BACKUP    the backup has not heard from its primary yet
 *   33  ACTIVE    the server serves
 *   34  PASSIVE   the server stands by
 *
 * The Guide's bstar has the same states; no RFC defines them. A replica's position (rules.ts) is a second frame.
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
