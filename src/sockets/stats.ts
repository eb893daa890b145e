/**
 * A socket's counters. Every sent message is counted in exactly one of them:
 *
 *   sent = delivered + queued + dropped.unroutable + dropped["peer-full"] + …
 *
 * A delivered message was handed to libzmq or to the kernel, depending on the engine (docs/engines.md).
 */
import { type DropReason, dropCounters, ENGINE_DROP_REASONS, type InvalidReason } from "../engine/events.js";

/** The reason for an undelivered message. */
export type DroppedReason = DropReason | "timeout" | "aborted";

/** A snapshot of the counts since the socket was made. */
export interface SocketStats {
  /** Messages passed to `send` or taken by `trySend`. */
  readonly sent: number;
  /** Bytes of their frames, without framing. */
  readonly bytesSent: number;
  /** Messages that the engine took and has handed on, as far as it knows. */
  readonly delivered: number;
  /** Messages waiting in this socket for the engine, and in the engine for the kernel, as far as it knows. */
  readonly queued: number;
  /** Undelivered messages that no longer wait, by reason. */
  readonly dropped: Readonly<Record<DroppedReason, number>>;
  /**
   * Publisher, XPublisher, XSubscriber and Radio: copies of messages that wait for a peer, and copies lost because the
   * peer was slow or left; `undefined` if the engine cannot know.
   */
  readonly copies: { readonly queued: number | undefined; readonly dropped: number | undefined } | undefined;
  /** Messages handed to the program. */
  readonly received: number;
  /** Bytes of their frames. */
  readonly bytesReceived: number;
  /** Received messages in the engine's memory that wait for the program, as far as it can count. */
  readonly receiveQueued: number;
  /** Received messages withheld from the program, by reason. */
  readonly invalid: Readonly<Record<InvalidReason, number>>;
  /** Replies to requests that had been given up (Request). */
  readonly late: number;
  /** Calls waiting for room, and for messages. */
  readonly pendingSends: number;
  readonly pendingReceives: number;
  /** Connected peers; `undefined` if the engine cannot know. */
  readonly peers: number | undefined;
  /** Connections restored after a loss; `undefined` if the engine cannot know. */
  readonly reconnects: number | undefined;
  /** Endpoints of sources that were refused. */
  readonly endpointsRefused: number;
  /** Events dropped because no observer read them in time. */
  readonly eventsLost: number;
}

/** Copied for each socket, because copies share their shape. */
const NONE_DROPPED: Readonly<Record<DroppedReason, number>> = dropCounters([
  "unroutable",
  ...ENGINE_DROP_REASONS,
  "closed",
  "timeout",
  "aborted",
]);

/** The counters of one socket. */
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
