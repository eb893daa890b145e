/** What a broker's user sets and sees: its options, its events and its statistics. */

import type { FailureReason } from "../kit/errors.js";
import { boolean, bytes, checkOptions, integer } from "../kit/options.js";
import type { MajordomoFaultReason } from "./wire.js";

/** What bounds a broker, and how patient it is. Times are in ms. */
export interface MajordomoBrokerLimits {
  /** ms between two HEARTBEATs to a worker. Default 2,500. */
  readonly heartbeatInterval: number;
  /** Intervals of silence after which a worker or a client is taken for dead. Default 3. */
  readonly liveness: number;
  /** Times that a request is given to a worker, when workers are lost with it. Default 3. */
  readonly maxDeliveries: number;
  /** Requests that wait for one service's workers; the next is refused as `overloaded`. Default 100,000. */
  readonly maxQueue: number;
  /** Bytes of all requests that wait. Default 256 MiB. */
  readonly maxQueueBytes: number;
  /** ms that a request waits for a worker, until it is refused as `no-service` or `expired`. Default 30,000. */
  readonly queueTimeout: number;
  /**
   * ms that a request of a client of shoal's waits for a service that no worker has offered within `queueTimeout`,
   * until it is refused as `no-service`: long enough for a worker that starts together with its client. A broker
   * that has just begun gives workers of its former life `liveness` intervals to come back. Plain clients wait
   * for `queueTimeout`. Default 1,000.
   */
  readonly noServiceTimeout: number;
  /** Whether a request for a service without workers waits for one, or is refused at once. Default true. */
  readonly waitForService: boolean;
  /** Services known at once; the names of those without workers and requests are forgotten. Default 10,000. */
  readonly maxServices: number;
  /** Workers registered at once; the next gets DISCONNECT. Default 100,000. */
  readonly maxWorkers: number;
  /** Request ids remembered, so that a repetition is not handled again. Default 20,000; 0: none. */
  readonly dedupWindow: number;
  /** Bytes of replies remembered for repetitions. Default 16 MiB. */
  readonly dedupBytes: number;
  /** Bytes of the partial replies that are joined for a client of MDP 0.1. Default 16 MiB. */
  readonly maxJoinedBytes: number;
  /**
   * Bytes of answers that wait for one client's connection: past it an answer, or one in pieces, fails as `slow-reader`.
   * A single answer always may wait. Known on the engine `zmtp`, over tcp and ipc; elsewhere the socket's
   * `sendHighWaterMark` alone bounds what waits. Default 64 MiB.
   */
  readonly maxClientBytes: number;
  /** Bytes of answers that wait for the connections of all clients together; in all else as `maxClientBytes`. Default 256 MiB. */
  readonly maxReplyBytes: number;
  /**
   * Whether a plain MDP client gets a failure, as a reply of three frames: `shoal.error`, reason, text.
   * MDP has no error replies; `false` leaves it to its time-out. Default true.
   */
  readonly plainErrors: boolean;
}

const OPTIONS = {
  heartbeatInterval: integer({ default: 2_500 }),
  liveness: integer({ default: 3 }),
  maxDeliveries: integer({ default: 3 }),
  maxQueue: integer({ default: 100_000, min: 0 }),
  maxQueueBytes: bytes({ default: 268_435_456, min: 0 }),
  queueTimeout: integer({ default: 30_000 }),
  noServiceTimeout: integer({ default: 1_000, min: 0 }),
  waitForService: boolean(true),
  maxServices: integer({ default: 10_000, min: 0 }),
  maxWorkers: integer({ default: 100_000, min: 0 }),
  dedupWindow: integer({ default: 20_000, min: 0 }),
  dedupBytes: bytes({ default: 16_777_216, min: 0 }),
  maxJoinedBytes: bytes({ default: 16_777_216, min: 0 }),
  maxClientBytes: bytes({ default: 67_108_864, min: 0 }),
  maxReplyBytes: bytes({ default: 268_435_456, min: 0 }),
  plainErrors: boolean(true),
};

/** The names of the limits. */
export const BROKER_LIMITS: readonly string[] = Object.keys(OPTIONS);

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function resolveBrokerLimits(given: object): MajordomoBrokerLimits {
  return checkOptions("MajordomoBroker", OPTIONS, given);
}

/** Why a worker is no longer registered. */
export type MajordomoWorkerLeaveReason =
  /** It said DISCONNECT. */
  | "disconnect"
  /** Nothing was heard of it for `liveness` intervals. */
  | "expired"
  /** Its connection is gone. */
  | "lost"
  /** It broke the protocol. */
  | "fault"
  /** The broker stops. */
  | "stopping";

export type MajordomoBrokerEvent =
  /** A service has its first worker. */
  | { readonly type: "service:started"; readonly service: string }
  /** A service has lost its last worker. */
  | { readonly type: "service:stopped"; readonly service: string; readonly queued: number }
  | {
      readonly type: "worker:joined";
      readonly service: string;
      readonly worker: string;
      readonly dialect: "0.1" | "0.2" | "shoal";
      /** Requests that it handles at once. */
      readonly concurrency: number;
      /** Those, and the ones that it keeps waiting. */
      readonly capacity: number;
    }
  | {
      readonly type: "worker:left";
      readonly service: string;
      readonly worker: string;
      readonly reason: MajordomoWorkerLeaveReason;
      /** Requests that it had in flight. */
      readonly inFlight: number;
    }
  /** A worker was lost with a request; another gets it. */
  | { readonly type: "request:redelivered"; readonly service: string; readonly deliveries: number }
  /** A request ended without an answer. */
  | { readonly type: "request:failed"; readonly service: string; readonly reason: FailureReason }
  /** The client of a request is gone, or gave it up. */
  | {
      readonly type: "request:abandoned";
      readonly service: string;
      readonly reason: "client-gone" | "cancelled";
    }
  /** A repetition that was not handled again. */
  | { readonly type: "request:repeated"; readonly service: string }
  /** An answer that its client could not take. */
  | {
      readonly type: "reply:dropped";
      readonly service: string;
      readonly reason: "client-gone" | "client-full";
    }
  /** A message that no version of the protocol allows. */
  | {
      readonly type: "peer:invalid";
      readonly reason: MajordomoFaultReason | "unexpected";
      readonly peer: Buffer;
    };

/** A broker's statistics. `requests = answered + failed + abandoned + queued + inFlight`. */
export interface MajordomoBrokerStats {
  /** Requests taken in, repetitions not counted. */
  readonly requests: number;
  /** Requests whose answer came from a worker. */
  readonly answered: number;
  /** Requests that ended with an error, refused ones included. */
  readonly failed: number;
  /** Requests whose client was gone or gave up before the answer. */
  readonly abandoned: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly inFlight: number;
  /** Deliveries made again because a worker was lost. */
  readonly redelivered: number;
  /** Repetitions that were not handled again. */
  readonly duplicates: number;
  /** Answers of workers to nothing that was asked, or to what was given to another since. */
  readonly late: number;
  /** Answers that their client could not take. */
  readonly repliesDropped: number;
  /** Bytes of answers that wait for their clients' connections; 0 where the engine cannot know. */
  readonly replyBytes: number;
  /** Messages that broke the protocol. */
  readonly faults: number;
  readonly services: number;
  readonly workers: number;
  readonly clients: number;
}

/** A service as a broker knows it; counts are since the service was first named. */
export interface MajordomoServiceStats {
  readonly name: string;
  /** Connected workers. */
  readonly workers: number;
  /** Requests that wait for one. */
  readonly queued: number;
  /** Requests taken in. */
  readonly requests: number;
  /** Answers of workers. */
  readonly replies: number;
  readonly failures: number;
}
