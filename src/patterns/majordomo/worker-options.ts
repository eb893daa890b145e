/** Options, events and statistics of a worker, and the types of its handler. */

import { InvalidArgumentError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import type { BodyFor, BodyOf } from "../../kit/body.js";
import type { ServiceContract, ServiceHandlers } from "../../kit/contract.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import {
  bytes,
  checkOptions,
  choice,
  codec,
  type Given,
  type GivenWithCodecs,
  integer,
  object,
  type Settings,
  text,
} from "../../kit/options.js";
import type { Raw } from "../../sockets/message.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { MAJORDOMO_WORKER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { MAX_CAPACITY, RESERVED_PREFIX, serviceFrame } from "./protocol.js";

export const OPTIONS = {
  /** Concurrent handlers, 1 to 65,535; a plain broker sends one request at a time. Default 1. */
  concurrency: integer({ default: 1, max: MAX_CAPACITY }),
  /**
   * Requests that shoal's broker may send in advance, 0 to 65,535, to a worker with more than 4,000 answers per second
   * while the service has no free handler, and no more than it handles in 4 ms. They wait for this worker: 0 where some
   * requests take much longer than others. Default: the greater of 100 and `concurrency`.
   */
  prefetch: integer({ min: 0, max: MAX_CAPACITY }),
  /**
   * `"auto"` asks for shoal's dialect, else speaks MDP 0.1; a broker without 8/MMI, or of 0.2 alone, needs its version.
   * Default `"auto"`.
   */
  protocol: choice(["auto", "0.1", "0.2"], "auto"),
  /** Name in the broker's events, which show its first 255 bytes. Default: 8 random hexadecimal digits. */
  name: text(),
  /** ms between HEARTBEATs. Default 2,500. */
  heartbeatInterval: integer({ default: 2_500 }),
  /** Intervals of silence before a broker counts as dead. Default 3. */
  liveness: integer({ default: 3 }),
  /** Largest first delay in ms before the next connection; doubled each time. Default 250. */
  reconnectInterval: integer({ default: 250, min: 0 }),
  /** Largest doubled delay in ms. Default 32,000. */
  reconnectMaxInterval: integer({ default: 32_000, min: 0 }),
  /** Remembered request ids, whose repetitions do not reach the handler; 0: none. Default 10,000. */
  dedupWindow: integer({ default: 10_000, min: 0 }),
  /** Bytes of replies kept for repetitions. Default 16 MiB. */
  dedupBytes: bytes({ default: 16_777_216, min: 0 }),
  /** Bytes of queued replies; past it no handler starts. Default 64 MiB. */
  maxReplyBytes: bytes({ default: 67_108_864, min: 0 }),
  /** ms that a stream waits for its reader before it fails as `slow-reader`; 0: no limit. Default 300,000. */
  creditTimeout: integer({ default: 300_000, min: 0 }),
  /** Options of the DEALERs: security, context, high-water marks. */
  socketOptions: object<DealerOptions>(["codec"]),
};
const ALL_OPTIONS = { ...OPTIONS, requestCodec: codec(), replyCodec: codec() };

/** Options of {@link MajordomoWorker}. Times are in ms. */
export type MajordomoWorkerOptions<Req = Raw, Rep = Raw> = GivenWithCodecs<typeof ALL_OPTIONS, Req, Rep>;

/** Options of {@link MajordomoWorker.serve}; the contract defines the codec. */
export type MajordomoServeOptions = Given<typeof OPTIONS>;

export type MajordomoHandlers<C extends ServiceContract> = ServiceHandlers<C, MajordomoRequestContext>;

export type WorkerSettings = Settings<typeof OPTIONS> & { readonly prefetch: number };

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function workerSettings(given: object): WorkerSettings {
  const settings = checkOptions("MajordomoWorker", ALL_OPTIONS, given);
  const { concurrency } = settings;
  const { prefetch = Math.max(concurrency, 100) } = settings;
  return Object.freeze({ ...settings, prefetch });
}

export const SERVE_OPTIONS: readonly string[] = Object.keys(OPTIONS);

/** @throws InvalidArgumentError `EINVAL` for an invalid or reserved name */
export function checkedService(service: string): Buffer {
  const frame = serviceFrame(service);
  if (service.startsWith(RESERVED_PREFIX)) {
    throw new InvalidArgumentError(
      `A service must not begin with ${RESERVED_PREFIX}, the broker's own; got ${service}`,
    );
  }
  return frame;
}

/** A reply; or a generator of its pieces, the last one by `return`. A peer of MDP 0.1 gets `invalid-reply` for pieces. */
export type MajordomoHandlerResult<T> =
  | BodyFor<T>
  | Promise<BodyFor<T>>
  | AsyncGenerator<BodyFor<T>, BodyFor<T> | undefined, void>
  | AsyncGenerator<BodyFor<T>, void, void>;

export type MajordomoHandler<Req = Raw, Rep = Raw> = (
  request: BodyOf<Req>,
  context: MajordomoRequestContext,
) => MajordomoHandlerResult<Rep>;

/** Its members are getters, which a copy by `{ ...context }` does not have. */
export interface MajordomoRequestContext {
  /** Aborted when the answer is no longer needed: cancelled, broker lost, worker closing. */
  readonly signal: AbortSignal;
  readonly service: string;
  /** 32 hexadecimal digits, the same for repetitions; `undefined` from a plain client or broker. */
  readonly id: string | undefined;
  /** Headers of the client; empty from a plain client or broker. */
  readonly headers: Readonly<Record<string, string>>;
  /** When the client stops waiting; `undefined`: never, or unknown at a plain client or broker. */
  readonly deadline: Date | undefined;
  /** 1, plus 1 for each lost worker that had the request; 1 from a plain broker. */
  readonly attempt: number;
}

export const EVENTS = {
  /** Registered with a broker. */
  "broker:joined": event<{ readonly endpoint: string; readonly dialect: "0.1" | "0.2" | "shoal" }>(),
  /** DISCONNECT, silence (`expired`) or the connection's end (`lost`). The worker reconnects after `retryIn` ms. */
  "broker:left": event<{
    readonly endpoint: string;
    readonly reason: "disconnect" | "expired" | "lost" | "stopping";
    readonly retryIn: number;
  }>(),
  /** The handler threw, or returned an invalid reply. */
  "handler:failed": event<{ readonly error: unknown }>(),
  /** Refused by the codec or contract; the client gets the reason. */
  "request:invalid": event<{ readonly error: unknown }>(),
  /** An invalid message. */
  "peer:invalid": event<{ readonly endpoint: string }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type MajordomoWorkerEvent = EventsOf<typeof EVENTS>;

/** `requests = answered + failed + cancelled + stale + running + queued`. */
export type MajordomoWorkerStats = StatisticsOf<typeof MAJORDOMO_WORKER>;
