/**
 * What a server has that a fail-over must not lose, such as a map. Each server tells
 * of it with its state, and the pair's rules ask before anyone becomes ACTIVE:
 *
 *   waiting  hears waiting   newer, or the same and the primary  → ACTIVE
 *            hears ACTIVE    not newer → PASSIVE; newer: the peer steps down
 *            hears PASSIVE   newer → ACTIVE
 *   ACTIVE   hears waiting   older → waiting: the peer serves
 *   PASSIVE  hears waiting   not older → ACTIVE
 *
 * Without it the roles decide: rules.ts.
 */
import type { StarState } from "./protocol.js";

/** What this server has, compared with the peer's: `foreign` is another thing, of which neither is the newer. */
export type StarOrder = "newer" | "same" | "older" | "foreign";

/** Given as the option `holding` of both servers of a pair. */
export interface StarHolding {
  /** What is told of it, with each state. */
  tell(): Uint8Array;
  /**
   * The peer told its state, and what it has.
   *
   * @param own this server's state
   * @returns `undefined` when it cannot be read: the peer is of another version, and counts as silent
   */
  hear(peer: StarState, told: Uint8Array, own: StarState): StarOrder | undefined;
  /** Whether this server may become ACTIVE for a client's request while its peer is silent. @param own its state */
  mayTakeOver(own: StarState): boolean;
  /** The operator chose. `passive`: whatever this server has yields to what the peer has. */
  resolved(choice: "active" | "passive"): void;
}
