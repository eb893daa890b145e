/** What happens on the ZRE plane, and what a program sees of a peer. */

/** A peer on the ZRE plane at one moment. Frozen. */
export interface ZrePeer {
  /** 32 lower-case hex digits; zyre shows them in upper case. */
  readonly uuid: string;
  /** As it chose it; two peers may have the same. */
  readonly name: string;
  /** Of its mailbox. */
  readonly endpoint: string;
  /** What it says of itself; without a prototype. */
  readonly headers: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  /** Nothing was heard of it for 5 s, and it is asked each second. */
  readonly evasive: boolean;
}

/** Why a peer is gone. */
export type ZreExitReason =
  /** It announced so. */
  | "left"
  /** Nothing was heard of it for 30 s, or this node went to another network, or under other headers: `enter` follows where it is there, too. */
  | "expired"
  /** Its process is gone: the connection ended, and the next one was refused, or led to another peer. */
  | "refused"
  /** It began again under the same uuid; `enter` follows. */
  | "restarted"
  /** Messages of it were lost; it enters again with its next beacon. */
  | "sequence"
  /** It takes what is sent to it too slowly; it may enter again with its next beacon. */
  | "full";

/** What happens on the ZRE plane. */
export type ZreEvent =
  | { readonly type: "enter"; readonly peer: ZrePeer }
  | { readonly type: "exit"; readonly peer: ZrePeer; readonly reason: ZreExitReason }
  | { readonly type: "join"; readonly peer: ZrePeer; readonly group: string }
  | { readonly type: "leave"; readonly peer: ZrePeer; readonly group: string }
  | { readonly type: "evasive"; readonly peer: ZrePeer }
  /** A message for this node alone. */
  | { readonly type: "whisper"; readonly peer: ZrePeer; readonly frames: readonly Buffer[] }
  /** A message for a group that this node is in. */
  | {
      readonly type: "shout";
      readonly peer: ZrePeer;
      readonly group: string;
      readonly frames: readonly Buffer[];
    };
