/**
 * Envelope checks of a queue. Pure.
 *
 *   request   client's routing id | frame…           from a ROUTER: its id, and at least one frame; few enough that the next
 *                                                    peer, which gets one more, does not end this proxy's connection
 *   reply     client's routing id | frame…           to a ROUTER: the receiver, and at least one frame
 *
 * Each proxy on the way adds a routing id before a request's delimiter (28/REQREP). With many ids a request has passed
 * this proxy repeatedly.
 */

import { MAX_FORWARDED_FRAMES } from "../core/memory.js";
import type { FrameBatch } from "../sockets/internal.js";

/** More routing ids than any real chain of proxies adds. */
const MAX_HOPS = 32;

export type Verdict = "pass" | "malformed" | "loop" | "policy";

export type Check = (frames: readonly Buffer[]) => Verdict;

/** Without a delimiter, as from a DEALER, hops cannot be counted. */
export function checkRequest(frames: readonly Buffer[]): Verdict {
  if (frames.length < 2 || frames.length > MAX_FORWARDED_FRAMES) return "malformed";
  if (frames.length <= MAX_HOPS) return "pass";
  for (let i = 0; i <= MAX_HOPS; i++) if ((frames[i] as Buffer).length === 0) return "pass";
  return "loop";
}

export function checkReply(frames: readonly Buffer[]): Verdict {
  return frames.length < 2 || (frames[0] as Buffer).length === 0 ? "malformed" : "pass";
}

/** Whether each message of the batch needs `checkRequest`. */
export function requestsNeedInspection(batch: FrameBatch): boolean {
  return batch.tally.mostFrames + (batch.first === undefined ? 0 : 1) > MAX_HOPS;
}

/** Whether `checkReply` would refuse some. */
export function repliesNeedInspection(batch: FrameBatch): boolean {
  return batch.first === undefined ? !batch.allHaveAddress() : batch.first.length === 0;
}
