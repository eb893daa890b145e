/**
 * What a queue looks at before it passes a message: nothing but the envelope's outline. Pure.
 *
 *   request   client's routing id | frame…           from a ROUTER: its id, and at least one frame; not so many that the next peer,
 *                                                    which gets one more, would end this proxy's connection
 *   reply     client's routing id | frame…           to a ROUTER: whom it is for, and at least one frame
 *
 * Each proxy on the way puts one routing id before a request's delimiter (28/REQREP). A request with many of them has
 * come through this proxy again and again: its backend leads to its own frontend.
 */

import { MAX_FORWARDED_FRAMES } from "../core/frame-cost.js";
import type { FrameBatch } from "../sockets/relay.js";

/** Routing ids before the delimiter, past which a request is in a loop: nobody chains so many proxies. */
const MAX_HOPS = 32;

/** What is to become of a message. */
export type Verdict = "pass" | "malformed" | "loop" | "policy";

/** Decides about a message by its frames. */
export type Check = (frames: readonly Buffer[]) => Verdict;

/** A request on its way from a ROUTER. One without a delimiter, as a DEALER may send, has no hops that show. */
export function checkRequest(frames: readonly Buffer[]): Verdict {
  if (frames.length < 2 || frames.length > MAX_FORWARDED_FRAMES) return "malformed";
  if (frames.length <= MAX_HOPS) return "pass";
  for (let i = 0; i <= MAX_HOPS; i++) if ((frames[i] as Buffer).length === 0) return "pass";
  return "loop";
}

/** A reply on its way to a ROUTER. */
export function checkReply(frames: readonly Buffer[]): Verdict {
  return frames.length < 2 || (frames[0] as Buffer).length === 0 ? "malformed" : "pass";
}

/** Whether `checkRequest` has to look at each of them. */
export function requestsNeedInspection(batch: FrameBatch): boolean {
  return batch.tally.mostFrames + (batch.first === undefined ? 0 : 1) > MAX_HOPS;
}

/** Whether `checkReply` would not pass all of them. */
export function repliesNeedInspection(batch: FrameBatch): boolean {
  return batch.first === undefined ? !batch.allHaveAddress() : batch.first.length === 0;
}
