/** What programs give to `serve` and `request` of a bus, and what they get. */
import type { StandardSchemaV1 } from "../../core/standard-schema.js";
import type { ServiceError } from "../../patterns/kit/errors.js";
import type { Service } from "../node/service.js";

/** Schemas of one service: of any library that has Standard Schema, version 1. They validate synchronously. */
export interface ServiceSchemas<Request = unknown, Reply = unknown> {
  /** What a caller gives; the handler gets its output. */
  readonly request?: StandardSchemaV1<unknown, Request> | undefined;
  /** What the handler gives, or each part of a streamed reply. */
  readonly reply?: StandardSchemaV1<Reply> | undefined;
}

/** How a service is served. */
export interface ServeOptions<Request = unknown, Reply = unknown> {
  /** Checked here: a request that does not conform is refused (`invalid-request`) before the handler has it. */
  readonly schema?: ServiceSchemas<Request, Reply> | undefined;
  /** Requests that are handled at a time; further ones wait. 1 to 65,536, default 256. */
  readonly concurrency?: number | undefined;
  /** Requests that wait for that; a further one is refused, and goes to another node. 0 to 1,048,576, default 4,096. */
  readonly maxQueue?: number | undefined;
  /** Bytes of their bodies. Default 16 MiB. */
  readonly maxQueueBytes?: number | undefined;
  /** ms for which a reply is kept for requests with the same idempotency key, 10,000 and 16 MiB of them at most; 0: none is. Default 60,000. */
  readonly keepReplies?: number | undefined;
  /** Parts of a body in parts that wait for the handler, of each request, 1 to 65,536: the caller is not asked for more. Default 256. */
  readonly maxParts?: number | undefined;
  /** Bytes of them; one part passes, however large. Default 1 MiB. */
  readonly maxPartBytes?: number | undefined;
  /**
   * Whether callers get the message of any error that the handler throws. Otherwise they get that of a `ServiceError`, and of an error with
   * `expose: true`; of each error its `code` and `data`. Default `false`.
   */
  readonly exposeErrors?: boolean | undefined;
}

/** A request as its handler has it. */
export interface ServiceRequest {
  readonly service: string;
  /** The method of a contract; "": none. */
  readonly method: string;
  /**
   * Bytes, a text, or what JSON has made of the caller's value; of a contract the bytes of its codec. A body in parts is an async iterable of these, to
   * be read once: it rejects with AbortedError when the caller gives up or is lost, and after its loop was left no more is sent.
   */
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Adds a header to the reply, or replaces it; before the handler's promise settles. A streamed reply and an error have none.
   *
   * @throws InvalidArgumentError `EINVAL` for what is not a text, and past 64 headers and 8,192 bytes
   */
  setReplyHeader(name: string, value: string): void;
  /** "": none. */
  readonly idempotencyKey: string;
  /** The node that asks. */
  readonly sender: Service;
  /** Whole ms until the caller gives it up, as `timeout` of further requests takes them; -1: it waits without limit. */
  readonly remaining: number;
  /** Aborts when the caller gives it up, is lost, or this node closes. */
  readonly signal: AbortSignal;
}

/**
 * Answers requests. What it returns is the reply: bytes, a text, or a value that JSON has a form for; of an async iterable each value is a part of a
 * streamed reply. What it throws is a ServiceError there, with the message, `code` and `data` of the error.
 */
export type ServiceHandler<Request = unknown, Reply = unknown> = (
  body: Request,
  request: ServiceRequest,
) => Reply | Promise<Reply> | AsyncIterable<Reply>;

/** Stands around the handlers of a node: it may change the body, answer itself, or throw. */
export type ServeMiddleware = (request: ServiceRequest, next: (body?: unknown) => unknown) => unknown;

/** A request that is about to be sent. */
export interface OutgoingRequest {
  readonly service: string;
  /** The method of a contract; "": none. */
  readonly method: string;
  readonly body: unknown;
  readonly options: ServiceRequestOptions | ServiceStreamOptions;
  /** Whether its reply is read in parts. */
  readonly isStream: boolean;
}

/** Stands around the requests of a node: it may change them, repeat them, answer itself, or throw. */
export type RequestMiddleware = (
  request: OutgoingRequest,
  next: (request?: OutgoingRequest) => unknown,
) => unknown;

/** How a request is made. */
export interface ServiceRequestOptions {
  /** ms for all attempts; -1: no limit. Default 5,000, with a body in parts -1. The handler has what is left of it. */
  readonly timeout?: number | undefined;
  /** ms of one attempt; -1, the default: no limit but `timeout`. With a body in parts until a node takes the first one, default 5,000. */
  readonly attemptTimeout?: number | undefined;
  /** Gives it up: the handler's signal aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Texts for the handler, 64 and 8,192 bytes at most. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Attempts after the first one, where a node is overloaded or, for what is idempotent, lost or late. 0 to 100, default 3. */
  readonly retries?: number | undefined;
  /** ms before the second attempt at most, doubling; half of it by chance. Default 20. */
  readonly retryDelay?: number | undefined;
  /** ms, where the doubling ends. Default 1,000. */
  readonly maxRetryDelay?: number | undefined;
  /** Whether it may be repeated where a node may have run it already. Default: whether it has an idempotency key. */
  readonly idempotent?: boolean | undefined;
  /** 1 to 128 bytes, not with a body in parts: a node runs requests with the same key once, and answers the others with the same reply. */
  readonly idempotencyKey?: string | undefined;
  /** Whether it waits, within `timeout`, for a node that serves it. Default `false`: it fails at once as `no-service`. */
  readonly waitForReady?: boolean | undefined;
  /** Whether this node may answer it, where it serves it. Default `true`: it is the nearest. */
  readonly self?: boolean | undefined;
  /** Called with the headers of the reply, where it has some, before the request settles. What it throws rejects the request. */
  readonly onReplyHeaders?: ((headers: Readonly<Record<string, string>>) => void) | undefined;
}

/** How a streamed reply is asked for. */
export interface ServiceStreamOptions
  extends Omit<ServiceRequestOptions, "idempotencyKey" | "onReplyHeaders"> {
  /** ms for all of it; -1, the default: no limit. */
  readonly timeout?: number | undefined;
  /** ms until the first part of the reply, or until a node takes the first one of the body; -1: no limit. Default 5,000. */
  readonly attemptTimeout?: number | undefined;
  /** Parts that wait for the program, 1 to 65,536: the handler is not asked for more. Default 256. */
  readonly maxQueue?: number | undefined;
  /** Bytes of them; one part passes, however large. Default 1 MiB. */
  readonly maxQueueBytes?: number | undefined;
}

/** How all nodes that serve something are asked. */
export interface ServiceManyOptions {
  /** ms for all of it; -1: no limit. Default 5,000. */
  readonly timeout?: number | undefined;
  /** Replies that are enough: the others are given up. Default: those of all. */
  readonly count?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Whether this node is one of them, where it serves it. Default `true`. */
  readonly self?: boolean | undefined;
}

/** What came of it. Each node that was asked is in one of these. */
export interface ServiceManyResult<Reply = unknown> {
  /** In the order in which they came. */
  readonly replies: readonly { readonly service: Service; readonly body: Reply }[];
  readonly failed: readonly { readonly service: Service; readonly error: Error }[];
  /** Those that had not answered at the end. */
  readonly missing: readonly Service[];
}

/** A service that this node serves. */
export interface ServedService {
  readonly name: string;
  /** Settles when all live members that this node knows have taken it; rejects with TimeoutError `ETIMEDOUT` after 10 s. It is served then, too. */
  readonly ready: Promise<void>;
  stats(): ServedServiceStats;
  /** Takes no further request: they go to other nodes. Settles when those that run have ended. */
  drain(): Promise<void>;
  /** The same, and from then on the name may be served again. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Of a service that is served. */
export interface ServedServiceStats {
  readonly name: string;
  readonly running: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** Requests that got a reply, and those that got an error. */
  readonly handled: number;
  readonly failed: number;
  /** Refused, since too many waited. */
  readonly refused: number;
  /** Given up by their callers. */
  readonly abandoned: number;
  /** Replies that are kept by idempotency key. */
  readonly kept: number;
}

/** Of requests to services, and of those that came. */
export interface RequestsStats {
  /** Requests that this node made; of these, those that wait, and bytes of their bodies. */
  readonly called: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly retried: number;
  readonly pending: number;
  readonly pendingBytes: number;
  /** What this node serves. */
  readonly served: readonly ServedServiceStats[];
  /** What was refused or dropped, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

/** What happens with requests to services. */
export type RequestsEvent =
  /** An attempt failed, and another one follows. */
  | {
      readonly type: "request:retried";
      readonly service: string;
      readonly node: string;
      readonly reason: ServiceError["reason"];
      readonly attempt: number;
    }
  /** A node fails while others that serve the same do not: it gets no requests for so many ms. */
  | { readonly type: "service:ejected"; readonly service: string; readonly node: string; readonly ms: number }
  /** A request to it succeeded after that. */
  | { readonly type: "service:restored"; readonly service: string; readonly node: string };
