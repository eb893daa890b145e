/** A peer at one moment; frozen. */
export interface ZrePeer {
  /** 32 lower-case hex digits; zyre shows upper case. */
  readonly uuid: string;
  /** Need not be unique. */
  readonly name: string;
  /** Endpoint of its mailbox. */
  readonly endpoint: string;
  /** Headers, without a prototype. */
  readonly headers: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  /** After 5 s of silence the peer gets a PING each second. */
  readonly evasive: boolean;
}

export type ZreExitReason =
  | "left"
  /** 30 s of silence, or this node changed its network or headers; then `enter` follows if the peer is there. */
  | "expired"
  /** The connection ended, and the next was refused or led to another peer. */
  | "refused"
  /** The peer restarted with the same uuid; `enter` follows. */
  | "restarted"
  /** The peer's messages were lost; the next beacon lets it enter again. */
  | "sequence"
  /** The peer's queue was full; the next beacon lets it enter again. */
  | "full";

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
