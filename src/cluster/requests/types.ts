/** Public types of a bus's `serve` and `request`. */
import type { StandardSchemaV1 } from "../../core/standard-schema.js";
import type { ServiceError } from "../../patterns/kit/errors.js";
import type { Member } from "../node/member.js";

/** Schemas of a service, from any Standard Schema v1 library. Must validate synchronously. */
export interface ServiceSchemas<Request = unknown, Reply = unknown> {
  /** Validates the caller's value; the handler gets its output. */
  readonly request?: StandardSchemaV1<unknown, Request> | undefined;
  /** Validates the reply, or each part of a streamed reply. */
  readonly reply?: StandardSchemaV1<Reply> | undefined;
}

/** Options of `serve`. */
export interface ServeOptions<Request = unknown, Reply = unknown> {
  /** A nonconforming request is refused (`invalid-request`) before the handler is called. */
  readonly schema?: ServiceSchemas<Request, Reply> | undefined;
  /** Concurrent requests; more are queued. 1 to 65,536, default 256. */
  readonly concurrency?: number | undefined;
  /** Queued requests; more are refused, and go to other nodes. 0 to 1,048,576, default 4,096. */
  readonly maxQueue?: number | undefined;
  /** Bytes of queued bodies. Default 16 MiB. */
  readonly maxQueueBytes?: number | undefined;
  /**
   * ms that a reply is kept for requests with the same idempotency key, 10,000 replies and 16 MiB at most; 0: not
   * kept. Default 60,000.
   */
  readonly keepReplies?: number | undefined;
  /** Queued parts per streamed body, 1 to 65,536; then the caller stops. Default 256. */
  readonly maxParts?: number | undefined;
  /** Bytes of queued parts; a single part may be larger. Default 1 MiB. */
  readonly maxPartBytes?: number | undefined;
  /**
   * Whether callers get every handler error's message. Otherwise only messages of a `ServiceError` or with `expose:
   * true`; `code` and `data` are always sent. Default `false`.
   */
  readonly exposeErrors?: boolean | undefined;
}

/** A handler's request. */
export interface ServiceRequest {
  readonly service: string;
  /** Method of a contract; "": none. */
  readonly method: string;
  /**
   * Bytes, a string, or a JSON value; with a contract its codec's bytes. A streamed body is an async iterable of
   * these, to be read once. It rejects with AbortedError when the caller gives up or is lost; leaving its loop stops
   * the caller.
   */
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Sets a header of the reply; call it before the handler's promise settles. Streamed replies and errors have no
   * headers.
   * @throws InvalidArgumentError `EINVAL` for a value that is not a string, and above 64 headers or 8,192 bytes
   */
  setReplyHeader(name: string, value: string): void;
  /** "": none. */
  readonly idempotencyKey: string;
  /** The requesting node. */
  readonly sender: Member;
  /** Whole ms until the caller gives up, for the `timeout` of further requests; -1: no limit. */
  readonly remaining: number;
  /** Aborts when the caller gives up or is lost, or this node closes. */
  readonly signal: AbortSignal;
}

/**
 * Answers requests. Returns the reply: bytes, a string or a JSON value; an async iterable streams its values as
 * parts. The caller gets a thrown error as a ServiceError with its message, `code` and `data`.
 */
export type ServiceHandler<Request = unknown, Reply = unknown> = (
  body: Request,
  request: ServiceRequest,
) => Reply | Promise<Reply> | AsyncIterable<Reply>;

/** Wraps a node's handlers: may change the body, answer itself, or throw. */
export type ServeMiddleware = (request: ServiceRequest, next: (body?: unknown) => unknown) => unknown;

/** A request about to be sent. */
export interface OutgoingRequest {
  readonly service: string;
  /** Method of a contract; "": none. */
  readonly method: string;
  readonly body: unknown;
  readonly options: ServiceRequestOptions | ServiceStreamOptions;
  /** Whether its reply is streamed. */
  readonly isStream: boolean;
}

/** Wraps a node's requests: may change or repeat them, answer itself, or throw. */
export type RequestMiddleware = (
  request: OutgoingRequest,
  next: (request?: OutgoingRequest) => unknown,
) => unknown;

/** Options of a request. */
export interface ServiceRequestOptions {
  /** ms for all attempts; -1: no limit. Default 5,000, with a streamed body -1. The handler gets the remaining time. */
  readonly timeout?: number | undefined;
  /**
   * ms per attempt; -1 (default): limited by `timeout` only. With a streamed body, until a node takes its first part,
   * default 5,000.
   */
  readonly attemptTimeout?: number | undefined;
  /** Cancels the request, and aborts the handler's signal. */
  readonly signal?: AbortSignal | undefined;
  /** Strings for the handler, at most 64 and 8,192 bytes. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Attempts after the first, if a node is overloaded or, for idempotent requests, lost or late. 0 to 100, default 3.
   */
  readonly retries?: number | undefined;
  /** First retry delay in ms, doubled each time, up to half of it random. Default 20. */
  readonly retryDelay?: number | undefined;
  /** Largest retry delay in ms. Default 1,000. */
  readonly maxRetryDelay?: number | undefined;
  /** Whether it may be repeated after a node may have run it. Default: whether it has an idempotency key. */
  readonly idempotent?: boolean | undefined;
  /**
   * 1 to 128 bytes, not with a streamed body. A node runs requests with the same key once and returns the same reply
   * to all.
   */
  readonly idempotencyKey?: string | undefined;
  /** Whether to wait, within `timeout`, for a serving node. Default `false`: fails at once with `no-service`. */
  readonly waitForReady?: boolean | undefined;
  /** Whether this node may answer, if it serves it. Default `true`: it is the nearest. */
  readonly self?: boolean | undefined;
  /** Called with the reply's headers, if any, before the request settles. An error rejects the request. */
  readonly onReplyHeaders?: ((headers: Readonly<Record<string, string>>) => void) | undefined;
}

/** Options of a request with a streamed reply. */
export interface ServiceStreamOptions
  extends Omit<ServiceRequestOptions, "idempotencyKey" | "onReplyHeaders"> {
  /** ms for everything; -1 (default): no limit. */
  readonly timeout?: number | undefined;
  /** ms until the reply's first part, or until a node takes the body's first part; -1: no limit. Default 5,000. */
  readonly attemptTimeout?: number | undefined;
  /** Parts queued for the program, 1 to 65,536; then the handler waits. Default 256. */
  readonly maxQueue?: number | undefined;
  /** Bytes of queued parts; a single part may be larger. Default 1 MiB. */
  readonly maxQueueBytes?: number | undefined;
}

/** Options of a request to all serving nodes. */
export interface ServiceManyOptions {
  /** ms for everything; -1: no limit. Default 5,000. */
  readonly timeout?: number | undefined;
  /** Number of replies after which the others are cancelled. Default: all. */
  readonly count?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Whether to include this node, if it serves it. Default `true`. */
  readonly self?: boolean | undefined;
}

/** Result with each requested node in one of the lists. */
export interface ServiceManyResult<Reply = unknown> {
  /** In order of arrival. */
  readonly replies: readonly { readonly service: Member; readonly body: Reply }[];
  readonly failed: readonly { readonly service: Member; readonly error: Error }[];
  /** Nodes without an answer at the end. */
  readonly missing: readonly Member[];
}

/** A service that this node serves. */
export interface Service {
  readonly name: string;
  /**
   * Settles when all known live members know the service; rejects with TimeoutError `ETIMEDOUT` after 10 s, though it
   * is still served.
   */
  readonly ready: Promise<void>;
  stats(): ServedServiceStats;
  /** Accepts no more requests: they go to other nodes. Settles when the running ones have ended. */
  drain(): Promise<void>;
  /** Like `drain`, then frees the name. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Statistics of a served service. */
export interface ServedServiceStats {
  readonly name: string;
  readonly running: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** Requests with a reply, and with an error. */
  readonly handled: number;
  readonly failed: number;
  /** Refused because of a full queue. */
  readonly refused: number;
  /** Given up by their callers. */
  readonly abandoned: number;
  /** Replies kept by idempotency key. */
  readonly kept: number;
}

/** Statistics of sent and received requests. */
export interface RequestsStats {
  /** Requests of this node, pending ones, and bytes of their bodies. */
  readonly called: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly retried: number;
  readonly pending: number;
  readonly pendingBytes: number;
  /** Services of this node. */
  readonly served: readonly ServedServiceStats[];
  /** Refused or dropped, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

/** Events of requests. */
export type RequestsEvent =
  /** An attempt failed, and another follows. */
  | {
      readonly type: "request:retried";
      readonly service: string;
      readonly node: string;
      readonly reason: ServiceError["reason"];
      readonly attempt: number;
    }
  /** A node fails while others do not: it gets no requests for this many ms. */
  | { readonly type: "service:ejected"; readonly service: string; readonly node: string; readonly ms: number }
  /** A request to an ejected node succeeded. */
  | { readonly type: "service:restored"; readonly service: string; readonly node: string };
