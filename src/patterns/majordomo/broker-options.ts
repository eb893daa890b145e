/** What a broker's user sets and sees: its options, its events and its statistics. */

import type { RouterOptions } from "../../sockets/request-reply.js";
import type { FailureReason } from "../kit/errors.js";
import { boolean, bytes, checkOptions, type Given, integer, object, type Settings } from "../kit/options.js";
import { serverGate } from "../kit/server-gate.js";
import type { MajordomoFaultReason } from "./wire.js";

const LIMITS = {
  /** ms between two HEARTBEATs to a worker. Default 2,500. */
  heartbeatInterval: integer({ default: 2_500 }),
  /** Intervals of silence after which a worker or a client is taken for dead. Default 3. */
  liveness: integer({ default: 3 }),
  /** Times that a request is given to a worker, when workers are lost with it. Default 3. */
  maxDeliveries: integer({ default: 3 }),
  /** Requests that wait for one service's workers; the next is refused as `overloaded`. Default 100,000. */
  maxQueue: integer({ default: 100_000, min: 0 }),
  /** Bytes of all requests that wait. Default 256 MiB. */
  maxQueueBytes: bytes({ default: 268_435_456, min: 0 }),
  /** ms that a request waits for a worker, until it is refused as `no-service` or `expired`. Default 30,000. */
  queueTimeout: integer({ default: 30_000 }),
  /**
   * ms that a request of a client of shoal's waits for a service that no worker has offered within `queueTimeout`,
   * until it is refused as `no-service`: long enough for a worker that starts together with its client. A broker
   * that has just begun gives workers of its former life `liveness` intervals to come back. Plain clients wait
   * for `queueTimeout`. Default 1,000.
   */
  noServiceTimeout: integer({ default: 1_000, min: 0 }),
  /** Whether a request for a service without workers waits for one, or is refused at once. Default true. */
  waitForService: boolean(true),
  /** Services known at once; the names of those without workers and requests are forgotten. Default 10,000. */
  maxServices: integer({ default: 10_000, min: 0 }),
  /** Workers registered at once; the next gets DISCONNECT. Default 100,000. */
  maxWorkers: integer({ default: 100_000, min: 0 }),
  /** Request ids remembered, so that a repetition is not handled again. Default 20,000; 0: none. */
  dedupWindow: integer({ default: 20_000, min: 0 }),
  /** Bytes of replies remembered for repetitions. Default 16 MiB. */
  dedupBytes: bytes({ default: 16_777_216, min: 0 }),
  /** Bytes of the partial replies that are joined for a client of MDP 0.1. Default 16 MiB. */
  maxJoinedBytes: bytes({ default: 16_777_216, min: 0 }),
  /**
   * Bytes of answers that wait for one client's connection: past it an answer, or one in pieces, fails as `slow-reader`.
   * A single answer always may wait. Known on the engine `zmtp`, over tcp and ipc; elsewhere the socket's
   * `sendHighWaterMark` alone bounds what waits. Default 64 MiB.
   */
  maxClientBytes: bytes({ default: 67_108_864, min: 0 }),
  /** Bytes of answers that wait for the connections of all clients together; in all else as `maxClientBytes`. Default 256 MiB. */
  maxReplyBytes: bytes({ default: 268_435_456, min: 0 }),
  /**
   * Whether a plain MDP client gets a failure, as a reply of three frames: `shoal.error`, reason, text.
   * MDP has no error replies; `false` leaves it to its time-out. Default true.
   */
  plainErrors: boolean(true),
};

/** Limits and timings of a broker. Times are in ms. */
export type MajordomoBrokerLimits = Settings<typeof LIMITS>;

const OPTIONS = {
  ...LIMITS,
  /** Options of the ROUTER: security, context, high-water marks (`sendHighWaterMark`: 100,000 here). */
  socketOptions: object<RouterOptions>(),
  /** Makes the broker one of a pair: a `BinaryStarGate`. Default: it always serves. */
  gate: serverGate(),
};

/** Options of `MajordomoBroker`. */
export type MajordomoBrokerOptions = Given<typeof OPTIONS>;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function brokerSettings(given: object): Settings<typeof OPTIONS> {
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
