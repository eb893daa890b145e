/** Public types of a namespace's `serve` and `request`, with their events and bounds. */
import { type EventsOf, event } from "../../core/event-stream.js";
import type { ServiceError } from "../../kit/errors.js";
import type { REQUESTS } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { Member } from "../node/member.js";

// Callers get an error above these bounds; peers' items are refused and counted.

/** Per request, and bytes of names and values. */
export const MAX_HEADERS = 64;
export const MAX_HEADER_BYTES = 8_192;

/** Services with node statistics. */
export const MAX_CALLED_SERVICES = 4_096;
/** ms; until the first part of a streamed reply. */
export const REQUEST_TIMEOUT = 5_000;

/** First and longest silence in ms, doubling, before a node is asked whether it has a request. */
export const CHECK_AFTER = 2_000;
export const MAX_CHECK_AFTER = 30_000;

/** Per namespace. */
export const MAX_SERVED = 1_024;

/** Default window of a streamed reply. */
export const STREAM_PARTS = 256;
export const STREAM_BYTES = 1_048_576;

/** A request, as its handler sees it. A copy by `{ ...request }` lacks `signal` and `remaining`. */
export interface ServiceRequest {
  readonly service: string;
  /** Contract method; "": none. */
  readonly method: string;
  /** Bytes, a string or a JSON value; with a contract its codec's bytes. */
  readonly body: unknown;
  /** At most 64, with 8,192 bytes. */
  readonly headers: Readonly<Record<string, string>>;
  /** The calling node. */
  readonly sender: Member;
  /** Whole ms until the caller gives up; -1: no limit. */
  readonly remaining: number;
  /** Aborts when the caller gives up or is lost, or this node closes. */
  readonly signal: AbortSignal;
}

/**
 * Returns the reply: bytes, a string or a JSON value; an async iterable streams its values. The caller gets
 * errors as ServiceError.
 */
export type ServiceHandler<Request = unknown, Reply = unknown> = (
  body: Request,
  request: ServiceRequest,
) => Reply | Promise<Reply> | AsyncIterable<Reply>;

/** Options of `request`. */
export interface ServiceRequestOptions {
  /** ms for all attempts; -1: no limit. Default 5,000. */
  readonly timeout?: number | undefined;
  /** ms per attempt; -1 (default): no limit. */
  readonly attemptTimeout?: number | undefined;
  /** Cancels the request and aborts its handler. */
  readonly signal?: AbortSignal | undefined;
  /** At most 64 headers with 8,192 bytes. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Further attempts if a node is overloaded or, for idempotent requests, lost or late. 0 to 100, default 3. */
  readonly retries?: number | undefined;
  /** First retry delay in ms, doubled each time; up to half is random. Default 20. */
  readonly retryDelay?: number | undefined;
  /** Longest retry delay in ms. Default 1,000. */
  readonly maxRetryDelay?: number | undefined;
  /** Whether to repeat it after a node may have run it. Default `false`. */
  readonly idempotent?: boolean | undefined;
  /** Whether to wait, within `timeout`, for a serving node. Default `false`: `no-service` at once. */
  readonly waitForReady?: boolean | undefined;
  /** Whether this node may answer. Default `true`: it is the nearest. */
  readonly self?: boolean | undefined;
}

/** Options of `requestStream`. */
export interface ServiceStreamOptions extends ServiceRequestOptions {
  /** ms for everything; -1 (default): no limit. */
  readonly timeout?: number | undefined;
  /** ms until the reply's first part; -1: no limit. Default 5,000. */
  readonly attemptTimeout?: number | undefined;
  /** Queued parts, 1 to 65,536; a full queue pauses the handler. Default 256. */
  readonly maxQueue?: number | undefined;
  /** Bytes of queued parts; one part may be larger. Default 1 MiB. */
  readonly maxQueueBytes?: number | undefined;
}

/** Each requested node is in one list. */
export interface ServiceManyResult<Reply = unknown> {
  /** In order of arrival. */
  readonly replies: readonly { readonly member: Member; readonly body: Reply }[];
  readonly failed: readonly { readonly member: Member; readonly error: Error }[];
  /** Nodes without an answer. */
  readonly missing: readonly Member[];
}

/** A service of this node, from `serve`. */
export interface Service {
  readonly name: string;
  /**
   * Settles when all known live members know the service; rejects with TimeoutError `ETIMEDOUT` after 10 s, and with
   * ClosedError `EAGAIN` if it ends before the node has started.
   */
  readonly ready: Promise<void>;
  stats(): ServiceStats;
  /** Refuses new requests, for other nodes. Settles when the running ones have ended. */
  drain(): Promise<void>;
  /** Like `drain`, then frees the name. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ServiceStats {
  readonly name: string;
  /** Requests in handlers, and waiting ones with the bytes of their bodies. */
  readonly running: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** Since `serve`: answered requests, and those whose handler threw. */
  readonly handled: number;
  readonly failed: number;
  /** Refused because of a full queue. */
  readonly refused: number;
  /** Given up by their callers, or of lost callers. */
  readonly abandoned: number;
}

export type RequestsStats = StatisticsOf<typeof REQUESTS> & {
  readonly served: readonly ServiceStats[];
};

export const REQUESTS_EVENTS = {
  /** Another attempt follows. */
  "request:retried": event<{
    readonly service: string;
    readonly node: string;
    readonly reason: ServiceError["reason"];
    readonly attempt: number;
  }>(),
};

export type RequestsEvent = EventsOf<typeof REQUESTS_EVENTS>;
