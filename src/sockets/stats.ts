/**
 * A socket's counters. Every sent message has exactly one outcome:
 *
 *   sent = delivered + queued + dropped.unroutable + dropped["peer-full"] + …
 *
 * A delivered message was handed to libzmq or to the kernel, depending on the engine (docs/engines.md).
 */
import { type DropReason, dropCounters, ENGINE_DROP_REASONS, type InvalidReason } from "../engine/events.js";

export type DroppedReason = DropReason | "timeout" | "aborted";

/** Counts since the socket was made. */
export interface SocketStats {
  /** Messages passed to `send` or taken by `trySend`. */
  readonly sent: number;
  /** Bytes of the sent frames, without framing. */
  readonly bytesSent: number;
  /** Messages that the engine handed on, as far as it knows. */
  readonly delivered: number;
  /** Messages that wait in the socket or the engine, as far as it knows. */
  readonly queued: number;
  /** Undelivered messages by reason. */
  readonly dropped: Readonly<Record<DroppedReason, number>>;
  /**
   * For Publisher, XPublisher, XSubscriber and Radio: copies that wait for a peer, and copies lost to slow or departed
   * peers; `undefined` if the engine cannot know.
   */
  readonly copies: { readonly queued: number | undefined; readonly dropped: number | undefined } | undefined;
  /** Messages handed to the program. */
  readonly received: number;
  /** Bytes of the received frames. */
  readonly bytesReceived: number;
  /** Received messages that wait for the program, as far as the engine knows. */
  readonly receiveQueued: number;
  /** Received messages withheld from the program. */
  readonly invalid: Readonly<Record<InvalidReason, number>>;
  /** Replies to abandoned requests (Request). */
  readonly late: number;
  /** Waiting `send` and `receive` calls. */
  readonly pendingSends: number;
  readonly pendingReceives: number;
  /** Connected peers; `undefined` if the engine cannot know. */
  readonly peers: number | undefined;
  /** Connections restored after a loss; `undefined` if the engine cannot know. */
  readonly reconnects: number | undefined;
  /** Refused endpoints of sources. */
  readonly endpointsRefused: number;
  /** Events that no observer read in time. */
  readonly eventsLost: number;
}

/** Copies share their shape. */
const NONE_DROPPED: Readonly<Record<DroppedReason, number>> = dropCounters([
  "unroutable",
  ...ENGINE_DROP_REASONS,
  "closed",
  "timeout",
  "aborted",
]);

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
