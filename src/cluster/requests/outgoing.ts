/**
 * A program's requests: observers and middleware, a call by the rules of calls.ts, and its result for the program.
 *
 *   request, requestStream ── observed ── middleware ──> Call ──> WholeReply, PartStream
 *   requestMany ── observed ── each node that serves it ──> Call ──> ManyReplies
 */
import { describe } from "../../core/arguments.js";
import { endedWith, type RequestOperation, startRequest, withAdded } from "../../core/diagnostics.js";
import { AbortedError, InvalidArgumentError, type ShoalError, TimeoutError } from "../../core/errors.js";
import { Waiter } from "../../core/waiter.js";
import { type ServiceClient, type ServiceContract, serviceClient } from "../../patterns/kit/contract.js";
import { ServiceError } from "../../patterns/kit/errors.js";
import type { Service } from "../node/service.js";
import { decodeBody, encodeBody } from "./body.js";
import { BodySource, isStreamedBody } from "./body-source.js";
import { MAX_HEADER_BYTES, MAX_HEADERS } from "./bounds.js";
import type { Call, CallSink, CallTerms } from "./call.js";
import type { RequestCalls } from "./calls.js";
import { ManyReplies } from "./many-replies.js";
import { manyTerms, nodeStreamTerms, requestTerms, streamTerms } from "./options.js";
import { PartStream } from "./part-stream.js";
import { isAsyncIterable } from "./server.js";
import type {
  OutgoingRequest,
  RequestMiddleware,
  ServiceManyOptions,
  ServiceManyResult,
  ServiceRequestOptions,
  ServiceStreamOptions,
} from "./types.js";
import { type Decode, WholeReply } from "./whole-reply.js";
import type { EncodedBody } from "./wire.js";

export interface OutgoingEffects {
  /** Monotonic time. */
  now(): number;
  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF` */
  begin(terms: CallTerms, sink: CallSink): Call;
  /** Nodes that serve it, once new nodes' services are known. */
  nodesOf(
    service: string,
    self: boolean,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly Service[]>;
}

/** Makes a request's terms from options. */
type TermsOf<O> = (
  service: string,
  method: string,
  body: EncodedBody,
  options: O | undefined,
  isStreamed: boolean,
) => CallTerms;

/** A request being made. */
interface PreparedRequest {
  readonly terms: CallTerms;
  /** Source of a streamed body. */
  source: BodySource | undefined;
  /** Set once started. */
  call: Call | undefined;
}

export class OutgoingRequests {
  readonly #calls: RequestCalls;
  readonly #effects: OutgoingEffects;
  #middleware: readonly RequestMiddleware[] = [];

  constructor(calls: RequestCalls, effects: OutgoingEffects) {
    this.#calls = calls;
    this.#effects = effects;
  }

  /** @returns a function that removes it */
  use(middleware: RequestMiddleware): () => void {
    this.#middleware = [...this.#middleware, middleware];
    return () => {
      this.#middleware = this.#middleware.filter((each) => each !== middleware);
    };
  }

  request(service: string, body: unknown, options: ServiceRequestOptions | undefined): Promise<unknown> {
    return this.#ask(service, "", body, options, decodeBody);
  }

  /** @throws InvalidArgumentError `EINVAL`; InvalidStateError `ERR_TOO_MANY_PENDING` */
  requestStream(
    service: string,
    body: unknown,
    options: ServiceStreamOptions | undefined,
  ): AsyncIterableIterator<unknown, undefined> {
    return this.#askInParts(service, "", body, options, decodeBody);
  }

  requestMany(service: string, body: unknown, options?: ServiceManyOptions): Promise<ServiceManyResult> {
    const operation = startRequest("cluster", service, "", false, options?.headers);
    return operation === undefined
      ? this.#requestMany(service, body, options)
      : observe(operation, options, (terms) => this.#requestMany(service, body, terms));
  }

  async #requestMany(
    service: string,
    body: unknown,
    options: ServiceManyOptions = {},
  ): Promise<ServiceManyResult> {
    if (isStreamedBody(body)) throw new InvalidArgumentError("requestMany takes no body in parts");
    const { count, ...terms } = manyTerms(service, encodeBody(body), options);
    const { signal } = options;
    if (signal?.aborted === true) throw new AbortedError(signal.reason);
    const end = performance.now() + terms.timeout;
    const nodes = await this.#effects.nodesOf(service, terms.self, terms.timeout, signal);
    const timeout = terms.timeout < 0 ? -1 : Math.max(0, end - performance.now());
    if (nodes.length === 0) throw new ServiceError("no-service", service, "no node serves it");
    const replies = new ManyReplies(nodes, count, signal, {
      begin: (node, sink) => this.#effects.begin({ ...terms, timeout, node: node.id }, sink),
      giveUp: (call) => this.#calls.giveUp(this.#effects.now(), call, undefined),
    });
    return replies.promise;
  }

  /**
   * Requests a list in parts from one node, for shoal itself: without observers and middleware.
   * @param timeout ms
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`
   */
  streamFrom(node: string, service: string, timeout: number): AsyncIterableIterator<unknown, undefined> {
    return this.#read(
      { terms: nodeStreamTerms(node, service, timeout), source: undefined, call: undefined },
      undefined,
      decodeBody,
    );
  }

  /** Returns a contract's client. */
  service<C extends ServiceContract>(
    contract: C,
    defaults: ServiceRequestOptions = {},
  ): ServiceClient<C, ServiceRequestOptions> {
    const bytesOf =
      <T>(decode: (frames: readonly Buffer[]) => T): Decode =>
      (_, body) =>
        decode([body]);
    return serviceClient<C, ServiceRequestOptions>(contract, {
      request: (frames, decode, options) => {
        const [method, value] = frames;
        return this.#ask(
          contract.name,
          String(method),
          value,
          merged(defaults, options),
          bytesOf(decode),
        ) as Promise<never>;
      },
      stream: (frames, decode, options) => {
        const [method, value] = frames;
        const { timeout, ...rest } = merged(defaults, options);
        return this.#askInParts(
          contract.name,
          String(method),
          value,
          // A contract's timeout for one reply applies until the first part.
          { ...rest, ...(timeout !== undefined && { attemptTimeout: timeout }) },
          bytesOf(decode),
        ) as AsyncIterableIterator<never, undefined>;
      },
    });
  }

  #ask(
    service: string,
    method: string,
    body: unknown,
    options: ServiceRequestOptions | undefined,
    decode: Decode,
  ): Promise<unknown> {
    const operation = startRequest("cluster", service, method, false, options?.headers);
    return operation === undefined
      ? this.#reply(service, method, body, options, decode)
      : observe(operation, options, (terms) => this.#reply(service, method, body, terms, decode));
  }

  #reply(
    service: string,
    method: string,
    body: unknown,
    options: ServiceRequestOptions | undefined,
    decode: Decode,
  ): Promise<unknown> {
    if (this.#middleware.length === 0) {
      try {
        return this.#request(service, method, body, options, decode);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#through({ service, method, body, options: options ?? {}, isStream: false }, (each) =>
      this.#request(each.service, each.method, each.body, each.options, decode),
    );
  }

  #askInParts(
    service: string,
    method: string,
    body: unknown,
    options: ServiceStreamOptions | undefined,
    decode: Decode,
  ): AsyncIterableIterator<unknown, undefined> {
    const operation = startRequest("cluster", service, method, true, options?.headers);
    if (operation === undefined) return this.#partsOf(service, method, body, options, decode);
    let parts: AsyncIterableIterator<unknown, undefined>;
    try {
      parts = operation.run(() => this.#partsOf(service, method, body, observed(options, operation), decode));
    } catch (error) {
      operation.end(error);
      throw error;
    }
    return endedWith(parts, operation);
  }

  #partsOf(
    service: string,
    method: string,
    body: unknown,
    options: ServiceStreamOptions | undefined,
    decode: Decode,
  ): AsyncIterableIterator<unknown, undefined> {
    if (this.#middleware.length === 0) return this.#stream(service, method, body, options, decode);
    const outgoing = { service, method, body, options: options ?? {}, isStream: true };
    return this.#partsThrough(outgoing, decode);
  }

  async *#partsThrough(
    outgoing: OutgoingRequest,
    decode: Decode,
  ): AsyncGenerator<unknown, undefined, undefined> {
    const parts = await this.#through(outgoing, (each) =>
      this.#stream(each.service, each.method, each.body, each.options, decode),
    );
    if (!isAsyncIterable(parts))
      throw new InvalidArgumentError(
        `middleware of a streamed request gives an async iterable; got ${describe(parts)}`,
      );
    yield* parts;
    return undefined;
  }

  async #through(outgoing: OutgoingRequest, last: (request: OutgoingRequest) => unknown): Promise<unknown> {
    const all = this.#middleware;
    const step = (at: number, request: OutgoingRequest): unknown => {
      const call = all[at];
      return call === undefined
        ? last(request)
        : call(request, (changed) =>
            step(at + 1, changed === undefined ? request : { ...request, ...changed }),
          );
    };
    return step(0, outgoing);
  }

  #request(
    service: string,
    method: string,
    body: unknown,
    options: ServiceRequestOptions | undefined,
    decode: Decode,
  ): Promise<unknown> {
    const request = this.#prepare(requestTerms, service, method, body, options);
    const waiter = new Waiter<unknown>(-1, options?.signal, neverLate, () => {
      this.#giveUp(request, undefined);
      request.source?.stop();
    });
    this.#begin(request, new WholeReply(service, waiter, decode, options?.onReplyHeaders));
    return waiter.promise;
  }

  /**
   * Common start of requests for one and many replies.
   * @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`
   */
  #prepare<O extends Pick<ServiceRequestOptions, "signal">>(
    termsOf: TermsOf<O>,
    service: string,
    method: string,
    body: unknown,
    options: O | undefined,
  ): PreparedRequest {
    const isStreamed = isStreamedBody(body);
    const terms = termsOf(service, method, encodeBody(isStreamed ? undefined : body), options, isStreamed);
    checkSignal(options?.signal);
    const request: PreparedRequest = { terms, source: undefined, call: undefined };
    if (isStreamed) request.source = this.#sourceOf(body, request);
    return request;
  }

  #begin(request: PreparedRequest, sink: CallSink): void {
    const { terms, source } = request;
    request.call = this.#effects.begin(terms, source === undefined ? sink : withSource(sink, source));
  }

  #giveUp({ call }: PreparedRequest, error: ShoalError | undefined): void {
    if (call !== undefined) this.#calls.giveUp(this.#effects.now(), call, error);
  }

  /**
   * Makes the source of a streamed body.
   * @param request has no call yet
   */
  #sourceOf(body: AsyncIterable<unknown>, request: PreparedRequest): BodySource {
    return new BodySource(body, {
      send: (part) =>
        new Promise((resolve) => {
          const { call } = request;
          if (call === undefined) resolve();
          else this.#calls.sendPart(this.#effects.now(), call, part, resolve);
        }),
      end: () => {
        if (request.call !== undefined) this.#calls.endBody(this.#effects.now(), request.call);
      },
      // The program's error, or that of an invalid part.
      failed: (error) => this.#giveUp(request, error as ShoalError),
    });
  }

  #stream(
    service: string,
    method: string,
    body: unknown,
    options: ServiceStreamOptions | undefined,
    decode: Decode,
  ): PartStream {
    return this.#read(this.#prepare(streamTerms, service, method, body, options), options?.signal, decode);
  }

  #read(request: PreparedRequest, signal: AbortSignal | undefined, decode: Decode): PartStream {
    const { parts = 1, bytes = 1 } = request.terms.extras ?? {};
    const aborted = (): void => this.#giveUp(request, new AbortedError(signal?.reason));
    signal?.addEventListener("abort", aborted);
    const stream = new PartStream(parts, bytes, {
      decode,
      read: (count, size) =>
        request.call !== undefined && this.#calls.read(this.#effects.now(), request.call, count, size),
      giveUp: () => this.#giveUp(request, undefined),
      over: () => {
        signal?.removeEventListener("abort", aborted);
        request.source?.stop();
      },
    });
    this.#begin(request, stream);
    return stream;
  }
}

/** Sink of a request with a streamed body, whose parts are sent as granted. */
function withSource(sink: CallSink, source: BodySource): CallSink {
  return {
    reply(form, body, headers) {
      source.stop();
      sink.reply(form, body, headers);
    },
    part: (form, body) => sink.part(form, body),
    end() {
      source.stop();
      sink.end();
    },
    fail(error) {
      source.stop();
      sink.fail(error);
    },
    granted: (parts, bytes) => source.granted(parts, bytes),
  };
}

/** Runs a request with its observers. Errors reject. */
async function observe<O extends Pick<ServiceRequestOptions, "headers">, T>(
  operation: RequestOperation,
  options: O | undefined,
  call: (options: O | undefined) => Promise<T>,
): Promise<T> {
  return operation.endWith(operation.run(async () => call(observed(options, operation))));
}

/** Options with the observers' headers. */
function observed<O extends Pick<ServiceRequestOptions, "headers">>(
  options: O | undefined,
  { added }: RequestOperation,
): O | undefined {
  if (added === undefined) return options;
  const headers = withAdded(options?.headers, added, MAX_HEADERS, MAX_HEADER_BYTES);
  return headers === undefined ? options : ({ ...options, headers } as O);
}

function merged(
  defaults: ServiceRequestOptions,
  options: ServiceRequestOptions | undefined,
): ServiceRequestOptions {
  return options === undefined ? defaults : { ...defaults, ...options };
}

/** @throws InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR` */
function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (typeof signal?.addEventListener !== "function")
    throw new InvalidArgumentError(`signal is an AbortSignal; got ${describe(signal)}`);
  if (signal.aborted) throw new AbortedError(signal.reason);
}

function neverLate(): ShoalError {
  return new TimeoutError("ETIMEDOUT", "late");
}
