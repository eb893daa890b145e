/** What happens to a server of a Binary Star, as its operator hears it. */
import { StarState } from "./protocol.js";
import type { FenceReason, StarCause, StarRole } from "./rules.js";

/** A server's state, in words; a fenced server serves nobody until `resolve`. */
export type StarStateName = "primary" | "backup" | "active" | "passive" | "fenced";

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
  /** It is as if it had just started: it waits for its peer's state. */
  | ({ readonly type: "waiting" } & Change)
  /** Both serve or both stand by. This one serves nobody until `resolve`. */
  | { readonly type: "fatal"; readonly reason: FenceReason }
  /** Requests that came to a server that does not serve are dropped: the peer lives. */
  | { readonly type: "votes-void" }
  /** The peer has the same role: a mistake in the configuration of one of them. */
  | { readonly type: "same-role"; readonly role: StarRole }
  /** Something came from the peer's endpoint that is no state. */
  | { readonly type: "invalid"; readonly frames: number };

const NAMES: Readonly<Record<StarState, Exclude<StarStateName, "fenced">>> = {
  [StarState.PRIMARY]: "primary",
  [StarState.BACKUP]: "backup",
  [StarState.ACTIVE]: "active",
  [StarState.PASSIVE]: "passive",
};

/** The word for a state. */
export function nameOf(state: StarState): Exclude<StarStateName, "fenced"> {
  return NAMES[state];
}

/** The event that tells of a change. */
export function changeEvent(state: StarState, from: StarState, cause: StarCause): StarEvent {
  const change = { from: nameOf(from), cause };
  if (state === StarState.ACTIVE) return { type: "active", ...change };
  if (state === StarState.PASSIVE) return { type: "passive", ...change };
  return { type: "waiting", ...change };
}
