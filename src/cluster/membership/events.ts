/** What a bus's membership says of its changes, and what it needs of the world. */
import type { Details } from "../details.js";
import type { Packet, Update } from "../wire/packets.js";
import type { Member } from "./members.js";

/** A change. `member` is the rules' own record: read it, keep its id. */
export type ClusterChange =
  | { readonly type: "joined"; readonly member: Member }
  /** It was lost or had left, and is there again; `restarted`: as another process. */
  | { readonly type: "back"; readonly member: Member; readonly restarted: boolean }
  /** Another process has its id, and it had not been missed. */
  | { readonly type: "restarted"; readonly member: Member }
  /** The same process has a later start, and perhaps another address: it was of the minority of a split. */
  | { readonly type: "rejoined"; readonly member: Member }
  | { readonly type: "suspect"; readonly member: Member }
  /** It is not suspected any more. */
  | { readonly type: "cleared"; readonly member: Member }
  /** It has another address. */
  | { readonly type: "moved"; readonly member: Member }
  /** It is heard, and does not receive what this node sends: of this side of a split it is not. */
  | { readonly type: "unreached"; readonly member: Member }
  /** It answers again. */
  | { readonly type: "reached"; readonly member: Member }
  /** `reason` is a DeathReason. */
  | { readonly type: "lost"; readonly member: Member; readonly reason: number }
  | { readonly type: "left"; readonly member: Member }
  | { readonly type: "removed"; readonly id: string; readonly member: Member | undefined }
  | { readonly type: "admitted"; readonly id: string }
  /** Forgotten, a while after it was lost or left. */
  | { readonly type: "cleaned"; readonly member: Member }
  | { readonly type: "details"; readonly member: Member; readonly before: Details }
  | { readonly type: "draining"; readonly member: Member }
  /** Another node fails to reach this one, by some way or by all. */
  | { readonly type: "expected" }
  /** It sent a beat on a channel other than 0. */
  | { readonly type: "heartbeat"; readonly member: Member; readonly channel: number }
  /** Two nodes have one name; one of the two may be this node. */
  | { readonly type: "conflict"; readonly keeps: Member; readonly yields: Member }
  /** The other one is gone: this member has its name now. */
  | { readonly type: "named"; readonly member: Member }
  /** A packet or update was refused; `reason` is one of a fixed list. */
  | { readonly type: "refused"; readonly reason: RefusalReason };

export type RefusalReason =
  | "full"
  | "seeds"
  | "newcomers"
  | "removed"
  | "stranger"
  | "stale"
  | "self"
  | "ahead"
  /** An update was not passed on, since too many waited. */
  | "gossip";

/** What the rules let happen. None of it calls back into them. */
export interface MembershipEffects {
  /** Sends to an address, as a datagram, or over a stream that is opened if there is not one yet. */
  send(address: string, packet: Packet, overStream: boolean): void;
  /** Sends to the group, where there is one. */
  multicast(packet: Packet): void;
  event(change: ClusterChange): void;
}

export type { Update };
