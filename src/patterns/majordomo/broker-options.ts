/** Options, events and statistics of a broker. */

import { type EventsOf, event } from "../../core/event-stream.js";
import type { FailureReason } from "../../kit/errors.js";
import {
  boolean,
  bytes,
  checkOptions,
  type Given,
  integer,
  object,
  type Settings,
  serverGate,
} from "../../kit/options.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import type { MAJORDOMO } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { MajordomoFaultReason } from "./protocol.js";

const LIMITS = {
  /** ms between HEARTBEATs to a worker. Default 2,500. */
  heartbeatInterval: integer({ default: 2_500 }),
  /** Intervals of silence before a worker or client counts as dead. Default 3. */
  liveness: integer({ default: 3 }),
  /** Deliveries of a request whose workers are lost. Default 3. */
  maxDeliveries: integer({ default: 3 }),
  /** Queued requests per service; more fail as `overloaded`. Default 100,000. */
  maxQueue: integer({ default: 100_000, min: 0 }),
  /** Bytes of all requests, queued and at workers; more fail as `overloaded`. Default 256 MiB. */
  maxQueueBytes: bytes({ default: 268_435_456, min: 0 }),
  /** ms in the queue before a request fails as `no-service` or `expired`. Default 30,000. */
  queueTimeout: integer({ default: 30_000 }),
  /**
   * ms that a request of shoal's client waits for the first worker of its service, before it fails as `no-service`: the
   * time of a worker to start, or to reconnect to a new broker. Default 7,500.
   */
  noServiceTimeout: integer({ default: 7_500, min: 0 }),
  /** `false` refuses requests for a service without workers at once. Default true. */
  waitForService: boolean(true),
  /** Services with workers or requests. Default 10,000. */
  maxServices: integer({ default: 10_000, min: 0 }),
  /** Registered workers; more get DISCONNECT. Default 100,000. */
  maxWorkers: integer({ default: 100_000, min: 0 }),
  /** Remembered request ids for repetitions; 0: none. Default 20,000. */
  dedupWindow: integer({ default: 20_000, min: 0 }),
  /** Bytes of replies kept for repetitions. Default 16 MiB. */
  dedupBytes: bytes({ default: 16_777_216, min: 0 }),
  /**
   * Queued bytes per client; a piece, or an answer of more than 1 KiB, beyond them fails as `slow-reader`; a single one
   * may be larger. Small answers are bounded by the socket's marks, and dropped ones come with the client's next attempt.
   * Nothing bounds the sum over all clients. Measured on engine `zmtp` over tcp and ipc. Default 16 MiB.
   */
  maxClientBytes: bytes({ default: 16_777_216, min: 0 }),
  /** Whether plain clients get failures, as replies of three frames: `shoal.error`, reason, text. Default true. */
  plainErrors: boolean(true),
};

/** Times are in ms. */
export type MajordomoBrokerLimits = Settings<typeof LIMITS>;

export const OPTIONS = {
  ...LIMITS,
  /** Options of the ROUTER: security, context, high-water marks (default `sendHighWaterMark`: 100,000). */
  socketOptions: object<RouterOptions>(["codec"]),
  /** A `BinaryStarGate` makes the broker half of a pair. Default: always serves. */
  gate: serverGate(),
};

/** Options of `MajordomoBroker`. */
export type MajordomoBrokerOptions = Given<typeof OPTIONS>;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function brokerSettings(given: object): Settings<typeof OPTIONS> {
  return checkOptions("MajordomoBroker", OPTIONS, given);
}

/** Why a worker was removed. */
export type MajordomoWorkerLeaveReason =
  /** DISCONNECT received. */
  | "disconnect"
  /** Silent for `liveness` intervals. */
  | "expired"
  /** The connection ended. */
  | "lost"
  /** Protocol violation. */
  | "fault"
  /** The broker is stopping. */
  | "stopping";

export const EVENTS = {
  /** First worker of a service. */
  "service:started": event<{ readonly service: string }>(),
  /** Last worker of a service left. */
  "service:stopped": event<{ readonly service: string; readonly queued: number }>(),
  "worker:joined": event<{
    readonly service: string;
    readonly worker: string;
    readonly dialect: "0.1" | "0.2" | "shoal";
    /** Concurrent handlers. */
    readonly concurrency: number;
    /** Concurrent handlers plus prefetched requests. */
    readonly capacity: number;
  }>(),
  "worker:left": event<{
    readonly service: string;
    readonly worker: string;
    readonly reason: MajordomoWorkerLeaveReason;
    /** Requests in flight. */
    readonly inFlight: number;
  }>(),
  /** A request failed. */
  "request:failed": event<{ readonly service: string; readonly reason: FailureReason }>(),
  /** The client left or cancelled. */
  "request:abandoned": event<{
    readonly service: string;
    readonly reason: "client-gone" | "cancelled";
  }>(),
  /** A client could not take its answer. */
  "reply:dropped": event<{
    readonly service: string;
    readonly reason: "client-gone" | "client-full";
  }>(),
  /** An invalid message. */
  "peer:invalid": event<{
    readonly reason: MajordomoFaultReason | "unexpected";
    readonly peer: Buffer;
  }>(),
};

export type MajordomoBrokerEvent = EventsOf<typeof EVENTS>;

/** `requests = answered + failed + abandoned + queued + inFlight`. */
export type MajordomoBrokerStats = StatisticsOf<typeof MAJORDOMO>;

/** Since the service was first named. */
export interface MajordomoServiceStats {
  readonly name: string;
  readonly workers: number;
  readonly queued: number;
  readonly requests: number;
  readonly replies: number;
  readonly failures: number;
}
