import type { ShoalError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import type { MessagingEvent } from "../messaging/events.js";
import type { ServicesEvent } from "../messaging/service-types.js";
import type { RequestsEvent } from "../requests/types.js";
import { DeathReason } from "../wire/packets.js";
import type { Member } from "./member.js";
import type { RefusedReason } from "./node-sockets.js";

/**
 * Death reason of a member: no node got an answer (`silent`); its connections were reset or refused, and it did not
 * answer (`connection`); another node has its address (`replaced`); no heartbeat within the time to live (`ttl`).
 */
export type LostReason = "silent" | "connection" | "replaced" | "ttl";

/** A change in a cluster. `member` is a snapshot after the change. */
export type ClusterEvent =
  /** Tags and props are known, unless they take longer than 200 ms. */
  | { readonly type: "joined"; readonly member: Member }
  /** A member does not answer, and will be lost unless it refutes that. */
  | { readonly type: "suspect"; readonly member: Member }
  | { readonly type: "cleared"; readonly member: Member }
  | { readonly type: "lost"; readonly member: Member; readonly reason: LostReason }
  /** A lost or left member returned; `restarted`: as another process. */
  | { readonly type: "back"; readonly member: Member; readonly restarted: boolean }
  /** A member was restarted before it was missed. */
  | { readonly type: "restarted"; readonly member: Member }
  | { readonly type: "left"; readonly member: Member }
  /** A member's tags, props or endpoints changed. */
  | { readonly type: "tags"; readonly member: Member }
  | { readonly type: "draining"; readonly member: Member }
  /** A member sent a heartbeat on a channel from 1 to 255, whose meaning the programs define. */
  | { readonly type: "heartbeat"; readonly member: Member; readonly channel: number }
  /** An operator removed a node, which may be this one; `member` is `undefined` for an absent node. */
  | { readonly type: "removed"; readonly id: string; readonly member: Member | undefined }
  | { readonly type: "admitted"; readonly id: string; readonly member: Member | undefined }
  /** A lost or left member was forgotten (profile: `autoclean`). */
  | { readonly type: "cleaned"; readonly member: Member }
  /**
   * Two members have the same name. `member` is the other one if this node is one of them, else the one that yields.
   */
  | {
      readonly type: "conflict";
      readonly member: Member;
      readonly keeps: Member;
      readonly yields: Member;
    }
  /** This member has its name again, since the member that kept it is gone. */
  | { readonly type: "named"; readonly member: Member }
  /** Members were lost, the remaining ones are stable, and this side continues by its strategy. */
  | {
      readonly type: "split";
      readonly reached: number;
      readonly lost: number;
      readonly strategy: "majority" | "quorum" | "none";
    }
  /** Members are unreachable, and this side does not continue. */
  | { readonly type: "minority"; readonly reached: number; readonly lost: number }
  /** This node is no longer in a minority. `rejoined`: under a new incarnation; take the others' state. */
  | { readonly type: "healed"; readonly rejoined: boolean }
  /** A discovery source yielded its first list, also after an outage. */
  | { readonly type: "discovery:up"; readonly source: string }
  /** A discovery source failed: its last list stays, and it is called again. Emitted once per outage. */
  | { readonly type: "discovery:down"; readonly source: string; readonly error: Error }
  /**
   * A node was refused, or refused this one (`peer`). `address` is its source, or the dialled address; for message
   * links without port. Emitted at most once per minute for each host and reason; `stats().dropped` counts all.
   */
  | { readonly type: "refused"; readonly address: string; readonly reason: RefusedReason }
  /** `curve.allow` threw, so the node at `address` was refused. Emitted at most once per minute for each host. */
  | { readonly type: "admission:failed"; readonly address: string; readonly error: unknown }
  /** An advertised socket bound an endpoint that cannot be advertised. */
  | {
      readonly type: "endpoint:refused";
      readonly name: string;
      readonly endpoint: string;
      readonly error: ShoalError;
    }
  /**
   * `clusterNames()` cannot list the node, because its folder or disk refuses it. Retried every 5 s. Emitted once per
   * outage.
   */
  | { readonly type: "registry:down"; readonly error: Error }
  | { readonly type: "registry:up" }
  /**
   * The process or the system can open no more files (`EMFILE`): incoming connections are closed at once, and none can
   * be made. Members are kept, since datagrams need no files. Emitted once until files can be opened again.
   */
  | { readonly type: "files:exhausted"; readonly error: ShoalError }
  | { readonly type: "files:available" }
  /** A ZRE peer joined or left a group. */
  | { readonly type: "group:joined"; readonly member: Member; readonly group: string }
  | { readonly type: "group:left"; readonly member: Member; readonly group: string }
  /** A ZRE message for this node alone, or for one of its groups. */
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
