import type { Details } from "../details.js";
import type { Packet } from "../wire/packets.js";
import type { Member } from "./members.js";

/** `member` is the internal record: read it, and keep only its id. */
export type ClusterChange =
  | { readonly type: "joined"; readonly member: Member }
  /** A lost or left member returned; `restarted`: as another process. */
  | { readonly type: "back"; readonly member: Member; readonly restarted: boolean }
  /** A process with the same id replaced it before it was missed. */
  | { readonly type: "restarted"; readonly member: Member }
  /** The same process returned from the minority side, with a later start and perhaps a new address. */
  | { readonly type: "rejoined"; readonly member: Member }
  | { readonly type: "suspect"; readonly member: Member }
  | { readonly type: "cleared"; readonly member: Member }
  | { readonly type: "moved"; readonly member: Member }
  /** The member is heard, but does not receive this node's packets (asymmetric). */
  | { readonly type: "one-way"; readonly member: Member }
  | { readonly type: "reached"; readonly member: Member }
  /** `reason` is a DeathReason. */
  | { readonly type: "lost"; readonly member: Member; readonly reason: number }
  | { readonly type: "left"; readonly member: Member }
  /** `member` may be this node; `undefined`: absent. */
  | { readonly type: "removed" | "admitted"; readonly id: string; readonly member: Member | undefined }
  /** Forgotten, some time after it was lost or left. */
  | { readonly type: "cleaned"; readonly member: Member }
  | { readonly type: "details"; readonly member: Member; readonly before: Details }
  | { readonly type: "draining"; readonly member: Member }
  /** The member sent a heartbeat on a channel other than 0. */
  | { readonly type: "heartbeat"; readonly member: Member; readonly channel: number }
  /** Two nodes, perhaps including this one, have the same name. */
  | { readonly type: "conflict"; readonly keeps: Member; readonly yields: Member }
  /** Has the name of a conflicting node that is gone. */
  | { readonly type: "named"; readonly member: Member }
  | { readonly type: "refused"; readonly reason: RefusalReason };

export type RefusalReason =
  | "full"
  | "new-members"
  | "removed"
  | "stranger"
  | "stale"
  | "self"
  | "ahead"
  | "gossip";

/** Effects must not call back. */
export interface MembershipEffects {
  send(address: string, packet: Packet, overStream: boolean): void;
  multicast(packet: Packet): void;
  event(change: ClusterChange): void;
}
