/**
 * A socket's counters. Every message that the program sent is in exactly one place:
 *
 *   sent = delivered + queued + dropped.unroutable + dropped["peer-full"] + …
 *
 * What "delivered" means depends on the engine: handed to libzmq, or to the
 * kernel. docs/engines.md says how far each engine sees.
 */
import { type DropReason, dropCounters, ENGINE_DROP_REASONS, type InvalidReason } from "../engine/events.js";

/** Why a message that the program sent was not delivered. */
export type DroppedReason = DropReason | "timeout" | "aborted";

/** What `stats()` gives: a snapshot, all counts since the socket was made. */
export interface SocketStats {
  /** Messages passed to `send` or taken by `trySend`. */
  readonly sent: number;
  /** Bytes of their frames, without framing. */
  readonly bytesSent: number;
  /** Messages that the engine took, and has handed on as far as it knows. */
  readonly delivered: number;
  /** Messages that wait: in this socket for room in the engine, and in the engine for the kernel, as far as it knows. */
  readonly queued: number;
  /** Messages that were neither delivered nor wait, by reason. */
  readonly dropped: Readonly<Record<DroppedReason, number>>;
  /**
   * Sockets that send to many (Publisher, XPublisher, XSubscriber, Radio): copies of messages that wait for a peer, and that
   * never reached theirs, since it was slow or left; `undefined` where the engine cannot know.
   */
  readonly copies: { readonly queued: number | undefined; readonly dropped: number | undefined } | undefined;
  /** Messages handed to the program. */
  readonly received: number;
  /** Bytes of their frames. */
  readonly bytesReceived: number;
  /** Received messages that wait for the program in the engine's own memory, as far as it can count. */
  readonly receiveQueued: number;
  /** Received messages that were not handed over, by reason. */
  readonly invalid: Readonly<Record<InvalidReason, number>>;
  /** Replies that came after their request was given up (Request). */
  readonly late: number;
  /** Calls that wait: sends for room, receives for messages. */
  readonly pendingSends: number;
  readonly pendingReceives: number;
  /** Connected peers; `undefined` where the engine cannot know. */
  readonly peers: number | undefined;
  /** Connections made again after a loss; `undefined` where the engine cannot know. */
  readonly reconnects: number | undefined;
  /** Endpoints of sources that could not be connected to. */
  readonly endpointsRefused: number;
  /** Events nobody read in time. */
  readonly eventsLost: number;
}

/** What each socket begins with: a copy of an object has its shape. */
const NONE_DROPPED: Readonly<Record<DroppedReason, number>> = dropCounters([
  "unroutable",
  ...ENGINE_DROP_REASONS,
  "closed",
  "timeout",
  "aborted",
]);

/** The counters behind {@link SocketStats}, owned by one socket. */
export class Counters {
  sent = 0;
  bytesSent = 0;
  delivered = 0;
  received = 0;
  bytesReceived = 0;
  late = 0;
  endpointsRefused = 0;
  readonly dropped: Record<DroppedReason, number> = { ...NONE_DROPPED };
  readonly invalid: Record<InvalidReason, number> = {
    frames: 0,
    codec: 0,
    schema: 0,
    full: 0,
    tooLarge: 0,
  };
}
