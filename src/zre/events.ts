import { type EventsOf, event } from "../core/event-stream.js";

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

export const ZRE_EVENTS = {
  enter: event<{ readonly peer: ZrePeer }>(),
  exit: event<{ readonly peer: ZrePeer; readonly reason: ZreExitReason }>(),
  join: event<{ readonly peer: ZrePeer; readonly group: string }>(),
  leave: event<{ readonly peer: ZrePeer; readonly group: string }>(),
  evasive: event<{ readonly peer: ZrePeer }>(),
  /** A message for this node alone. */
  whisper: event<{ readonly peer: ZrePeer; readonly frames: readonly Buffer[] }>(),
  /** A message for a group with this node. */
  shout: event<{ readonly peer: ZrePeer; readonly group: string; readonly frames: readonly Buffer[] }>(),
};

export type ZreEvent = EventsOf<typeof ZRE_EVENTS>;
