/** What happens in a cluster, as its programs see it. */
import type { ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import type { MessagingEvent } from "../messaging/events.js";
import type { ServicesEvent } from "../messaging/service-types.js";
import type { RequestsEvent } from "../requests/types.js";
import { DeathReason } from "../wire/packets.js";
import type { Member } from "./member.js";
import type { RefusedReason } from "./node-sockets.js";

/**
 * Why a member was lost: nobody got an answer of it (`silent`); its connections were reset or refused, and it did not
 * answer (`connection`); another node is at its address (`replaced`); no beat within the time to live (`ttl`).
 */
export type LostReason = "silent" | "connection" | "replaced" | "ttl";

/** A change in a cluster. `member` is a snapshot of the member after it. */
export type ClusterEvent =
  /** With its tags and props, unless these take longer than 200 ms. */
  | { readonly type: "joined"; readonly member: Member }
  /** It does not answer; it is lost unless it refutes that. */
  | { readonly type: "suspect"; readonly member: Member }
  /** It is suspected no longer. */
  | { readonly type: "cleared"; readonly member: Member }
  | { readonly type: "lost"; readonly member: Member; readonly reason: LostReason }
  /** It had been lost or had left; `restarted`: its process was started again. */
  | { readonly type: "back"; readonly member: Member; readonly restarted: boolean }
  /** Its process was started again, and nobody had missed it. */
  | { readonly type: "restarted"; readonly member: Member }
  | { readonly type: "left"; readonly member: Member }
  /** Its tags, props or endpoints changed. */
  | { readonly type: "tags"; readonly member: Member }
  | { readonly type: "draining"; readonly member: Member }
  /** It gave a beat by hand on a channel from 1 to 255, which means what the programs agree on. Those on channel 0 are no event. */
  | { readonly type: "heartbeat"; readonly member: Member; readonly channel: number }
  /** By an operator; `member` is this node where it was removed itself, and `undefined` for one that was not here. */
  | { readonly type: "removed"; readonly id: string; readonly member: Member | undefined }
  | { readonly type: "admitted"; readonly id: string; readonly member: Member | undefined }
  /** Forgotten, a while after it was lost or left (profile: `autoclean`). */
  | { readonly type: "cleaned"; readonly member: Member }
  /** Two members have one name. `member` is the other one where this node is one of the two, else the one that yields. */
  | {
      readonly type: "conflict";
      readonly member: Member;
      readonly keeps: Member;
      readonly yields: Member;
    }
  /** The member that had kept this one's name is gone: it has its name again. */
  | { readonly type: "named"; readonly member: Member }
  /** Members were lost, those that are left are the same for a while, and this side goes on by its strategy. */
  | {
      readonly type: "split";
      readonly reached: number;
      readonly lost: number;
      readonly strategy: "majority" | "oldest" | "quorum" | "referee" | "none";
    }
  /** Some are out of reach, and this side is not the one that goes on. */
  | { readonly type: "minority"; readonly reached: number; readonly lost: number }
  /** This node is of no minority any longer; `rejoined`: under a new incarnation, and should take the others' state. */
  | { readonly type: "healed"; readonly rejoined: boolean }
  /** A source of discovery gave its first list, or the first one after it was down. */
  | { readonly type: "discovery:up"; readonly source: string }
  /** A source of discovery failed: its last list stands, and it is called again. It comes once until the source is up. */
  | { readonly type: "discovery:down"; readonly source: string; readonly error: Error }
  /**
   * A node was refused, or refused this one (`peer`). `address` is where it dialled from, or where this node dialled; of a link for messages without its port. At most
   * once a minute for each host and reason; all are counted in `stats().dropped`.
   */
  | { readonly type: "refused"; readonly address: string; readonly reason: RefusedReason }
  /** The function `curve.allow` threw `error`, and the node at `address` was refused for it. At most once a minute for each host. */
  | { readonly type: "admission:failed"; readonly address: string; readonly error: unknown }
  /** A socket whose endpoints this node advertises bound one that the others are not sent; `error` says why. */
  | {
      readonly type: "endpoint:refused";
      readonly name: string;
      readonly endpoint: string;
      readonly error: ShoalError;
    }
  /**
   * This node is not among those of its host (`clusterNames()`): its folder or disk does not take it. It is tried again every 5 s;
   * the event comes once until that succeeds.
   */
  | { readonly type: "registry:down"; readonly error: Error }
  /** It is among them again. */
  | { readonly type: "registry:up" }
  /**
   * The process, or the system, can open no more files (`EMFILE`): connections that come are closed at once, none can be made.
   * Members are kept: what goes by datagrams needs none. It comes once until files can be opened again.
   */
  | { readonly type: "files:exhausted"; readonly error: ShoalError }
  /** Files can be opened again. */
  | { readonly type: "files:available" }
  /** A peer on the ZRE plane joined or left a group. */
  | { readonly type: "group:joined"; readonly member: Member; readonly group: string }
  | { readonly type: "group:left"; readonly member: Member; readonly group: string }
  /** A message on the ZRE plane for this node alone, or for a group that it is in. */
  | { readonly type: "whisper"; readonly member: Member; readonly frames: readonly Buffer[] }
  | {
      readonly type: "shout";
      readonly member: Member;
      readonly group: string;
      readonly frames: readonly Buffer[];
    }
  | MessagingEvent
  | ServicesEvent
  | RequestsEvent;

export const CLUSTER_EVENTS: EventNames<ClusterEvent> = {
  joined: true,
  suspect: true,
  cleared: true,
  lost: true,
  back: true,
  restarted: true,
  left: true,
  tags: true,
  draining: true,
  heartbeat: true,
  removed: true,
  admitted: true,
  cleaned: true,
  conflict: true,
  named: true,
  split: true,
  minority: true,
  healed: true,
  "discovery:up": true,
  "discovery:down": true,
  refused: true,
  "admission:failed": true,
  "endpoint:refused": true,
  "registry:down": true,
  "registry:up": true,
  "files:exhausted": true,
  "files:available": true,
  "group:joined": true,
  "group:left": true,
  whisper: true,
  shout: true,
  "message:dropped": true,
  "subscription:failed": true,
  "protocol:failed": true,
  "address:dropped": true,
  "message:vetoed": true,
  "hook:failed": true,
  "handler:failed": true,
  "request:retried": true,
  "service:ejected": true,
  "service:restored": true,
};

export function lostReason(reason: number): LostReason {
  switch (reason) {
    case DeathReason.CONNECTION:
      return "connection";
    case DeathReason.REPLACED:
      return "replaced";
    case DeathReason.TTL:
      return "ttl";
    default:
      return "silent";
  }
}
