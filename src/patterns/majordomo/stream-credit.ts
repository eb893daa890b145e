/**
 * Credit of an answer in pieces: how many bytes its worker may send before somebody has read what came before.
 *
 *   worker    credit = INITIAL_CREDIT   - the cost of each piece sent   + what is granted; at 0 the handler waits
 *   client    grants what its reader has read; once half of INITIAL_CREDIT has come, the rest of its own window, too
 *
 * So what is under way and unread is bounded by the window and one piece, wherever it waits: at the worker, the broker
 * or the client. For a client that knows no credit (MDP) the broker grants what it could pass on.
 */

/** Bytes of pieces that a worker may send before anything is granted. */
export const INITIAL_CREDIT = 16_384;

/** Bytes that a piece and each of its frames cost beside the frame's own: about what holding them takes. */
const FRAME_COST = 64;

/** What a piece costs. @param start where its body begins among the frames */
export function pieceCost(frames: readonly (Uint8Array | string)[], start = 0): number {
  let cost = FRAME_COST;
  for (let i = start; i < frames.length; i++) {
    const frame = frames[i] as Uint8Array | string;
    cost += FRAME_COST + (typeof frame === "string" ? Buffer.byteLength(frame) : frame.length);
  }
  return cost;
}
