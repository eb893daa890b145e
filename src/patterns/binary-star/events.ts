/** What happens to a server of a Binary Star, as its operator hears it. */
import { StarState } from "./protocol.js";
import type { FenceReason, StarCause, StarRole } from "./rules.js";

/**
 * A server's state, in words; a fenced server serves nobody until `resolve`, one in doubt was held up while it
 * served, and answers nobody until it has heard whether its peer took over.
 */
export type StarStateName = "primary" | "backup" | "active" | "passive" | "doubting" | "fenced";

interface Change {
  readonly from: StarStateName;
  readonly cause: StarCause;
}

/** Events of a server of a Binary Star. */
export type StarEvent =
  /** It serves from now on. Listeners run before the requests that waited for it are served. */
  | ({ readonly type: "active" } & Change)
  /** It stands by. */
  | ({ readonly type: "passive" } & Change)
  /**
   * It is as if it had just started: it waits for its peer's state. With the cause `stalled` it is in doubt, for
   * about a heartbeat: `active` follows when the peer did not take over, and then it served all the time.
   */
  | ({ readonly type: "waiting" } & Change)
  /** Both serve, both stand by, or what they have is not the same thing. This one serves nobody until `resolve`. */
  | { readonly type: "fatal"; readonly reason: FenceReason }
  /** Requests that came to a server that does not serve are dropped: the peer lives. */
  | { readonly type: "votes-void" }
  /** The peer has the same role: a mistake in the configuration of one of them. */
  | { readonly type: "same-role"; readonly role: StarRole }
  /** Something came from the peer's endpoint that is no state, or one of a version that this server does not know. */
  | { readonly type: "invalid"; readonly frames: number };

const NAMES: Readonly<Record<StarState, Exclude<StarStateName, "fenced" | "doubting">>> = {
  [StarState.PRIMARY]: "primary",
  [StarState.BACKUP]: "backup",
  [StarState.ACTIVE]: "active",
  [StarState.PASSIVE]: "passive",
};

/** The word for a state. */
export function nameOf(state: StarState): Exclude<StarStateName, "fenced" | "doubting"> {
  return NAMES[state];
}

/** The event that tells of a change. */
export function changeEvent(state: StarState, from: StarState, cause: StarCause): StarEvent {
  const change = { from: nameOf(from), cause };
  if (state === StarState.ACTIVE) return { type: "active", ...change };
  if (state === StarState.PASSIVE) return { type: "passive", ...change };
  return { type: "waiting", ...change };
}
