/** The state of a peer at one moment. Frozen. */
export interface ZrePeer {
  /** 32 lower-case hex digits; zyre shows them in upper case. */
  readonly uuid: string;
  /** Need not be unique. */
  readonly name: string;
  /** The endpoint of its mailbox. */
  readonly endpoint: string;
  /** An object without a prototype. */
  readonly headers: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  /** The peer was silent for 5 s, and gets a PING each second. */
  readonly evasive: boolean;
}

/** Why a peer exited. */
export type ZreExitReason =
  | "left"
  /** The peer was silent for 30 s, or this node changed its network or headers; then `enter` follows if the peer is there. */
  | "expired"
  /** The connection ended, and the next one was refused, or led to another peer. */
  | "refused"
  /** The peer started again with the same uuid; `enter` follows. */
  | "restarted"
  /** Messages of the peer were lost; the next beacon lets it enter again. */
  | "sequence"
  /** The queue of the peer was full; the next beacon lets it enter again. */
  | "full";

/** Events of a node on the ZRE plane. */
export type ZreEvent =
  | { readonly type: "enter"; readonly peer: ZrePeer }
  | { readonly type: "exit"; readonly peer: ZrePeer; readonly reason: ZreExitReason }
  | { readonly type: "join"; readonly peer: ZrePeer; readonly group: string }
  | { readonly type: "leave"; readonly peer: ZrePeer; readonly group: string }
  | { readonly type: "evasive"; readonly peer: ZrePeer }
  /** A message for this node alone. */
  | { readonly type: "whisper"; readonly peer: ZrePeer; readonly frames: readonly Buffer[] }
  /** A message for a group with this node. */
  | {
      readonly type: "shout";
      readonly peer: ZrePeer;
      readonly group: string;
      readonly frames: readonly Buffer[];
    };
