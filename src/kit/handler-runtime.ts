/**
 * Requests in the handlers of a server.
 *
 *   take ──> queued ──a slot is free──> decode ── handle ──┬── a value ──> reply ──sent──> release
 *                                          │         │     └── an async iterable ──> parts, with credit ──> end
 *                                          v         v
 *                                         report, refuse ──sent──> release
 *
 * A subclass has the protocol: its bodies, answers, refusals, and the bound of its queue. Servers that answer each
 * request with one reply share {@link HandlerJobs}.
 */
import { isAsyncIterable, isThenable } from "../core/arguments.js";
import { Link, LinkedList } from "../core/collections/queues.js";
import type { SendCredit } from "../core/credit.js";
import { begin, isObserved, type Operation, PROCESS, type ProcessOperation } from "../core/diagnostics.js";
import { InvalidArgumentError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { IdleWaits, ignore } from "../core/waiter.js";
import type { Codec } from "../sockets/codec.js";
import type { Settled } from "../sockets/message.js";
import type { RouterOptions } from "../sockets/request-reply.js";
import { type BodyFor, type BodyOf, BodyShape } from "./body.js";
import { failure, type HandlerFailure, handlerFailure, isRefusal, requestFailure } from "./errors.js";
import { checkFunction, codec, integer, object } from "./options.js";

/** A request with a handler, which gets it as its context. */
export abstract class HandlerJob {
  /** Among queued requests, then among those in handlers. */
  readonly place: Link<this> = new Link(this);
  hasSlot = false;
  aborted = false;
  /** Set while observed. */
  operation: ProcessOperation | undefined = undefined;
  /** Of a reply in parts. */
  credit: SendCredit | undefined = undefined;
  #reason: unknown = undefined;
  #controller: AbortController | undefined = undefined;

  // Created on demand: most handlers do not use it, and it costs more than the rest.
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.credit?.wake();
  }
}

/** An aborted handler may stop early: its parts are not the whole reply. */
export const CANCELLED = failure("worker-failed", "Cancelled.");
const UNREAD = failure("slow-reader", "Nobody read on in time.");

/** `undefined`: observers do not see it. */
export type Observed = Omit<ProcessOperation, keyof Operation> | undefined;

export abstract class HandlerRuntime<J extends HandlerJob> {
  /** Taken slots. */
  running = 0;
  /** Waiting for a slot. */
  protected readonly queue: LinkedList<J> = new LinkedList<J>();
  readonly #handling = new LinkedList<J>();
  readonly #concurrency: number;
  readonly #idle = new IdleWaits();
  #isStarting = false;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  get queued(): number {
    return this.queue.length;
  }

  get hasSlot(): boolean {
    return this.running < this.#concurrency;
  }

  /** Settles when nothing runs or waits. */
  whenIdle(): Promise<void> {
    return this.#idle.wait(this.#isIdle);
  }

  get #isIdle(): boolean {
    return this.running === 0 && this.queue.length === 0;
  }

  /** Aborts the signals of all handlers. */
  abort(reason?: unknown): void {
    for (const job of [...this.#handling]) job.abort(reason);
  }

  /** Begins a request, or queues it. Ends with one call of `reply`, `end` or `refuse`. */
  protected take(job: J): void {
    if (this.hasSlot) this.begin(job);
    else this.queue.push(job.place);
  }

  /** Its answer was sent, or is not wanted. Queued requests begin. */
  protected release(job: J): void {
    // Before others begin, whose handlers may run within this call.
    job.operation?.end();
    if (job.hasSlot) {
      job.hasSlot = false;
      this.running -= 1;
    }
    this.beginQueued();
  }

  /** After a slot became free. */
  protected beginQueued(): void {
    // The loop that started them continues.
    if (this.#isStarting) return;
    this.#isStarting = true;
    while (this.hasSlot) {
      const next = this.queue.shift();
      if (next === undefined) break;
      if (this.isWanted(next)) this.begin(next);
    }
    this.#isStarting = false;
    if (this.#isIdle) this.#idle.end();
  }

  /** @returns whether a queued request is still to be handled; if not, it was ended */
  protected isWanted(_job: J): boolean {
    return true;
  }

  protected begin(job: J): void {
    job.hasSlot = true;
    this.running += 1;
    this.#handling.push(job.place);
    let failureOf = requestFailure;
    try {
      const request = this.decode(job);
      failureOf = handlerFailure;
      const result = isObserved(PROCESS) ? this.#observed(job, request) : this.handle(job, request);
      if (isThenable(result)) this.#await(job, result);
      else this.#settle(job, result);
    } catch (error) {
      this.#threw(job, error, failureOf);
    }
  }

  /** May throw. */
  protected abstract decode(job: J): unknown;

  /** Calls the handler. */
  protected abstract handle(job: J, request: unknown): unknown;

  protected properties(_job: J): Observed {
    return undefined;
  }

  /** Encodes and sends. May throw, or reject. */
  protected abstract reply(job: J, value: unknown): void | Promise<void>;

  /** For a reply in parts. Throws if it must be one value. */
  protected streams(_job: J, _parts: AsyncIterable<unknown>): SendCredit {
    throw new InvalidArgumentError("A reply must be one value; got an async iterable, such as a stream");
  }

  /** Encodes and sends a part. @returns why no further one is wanted, once it was sent */
  protected part(_job: J, _value: unknown): Promise<HandlerFailure | undefined> | undefined {
    return undefined;
  }

  /** @param _value returned by a generator */
  protected end(_job: J, _value: unknown): void {}

  /** @param isRequest `decode` or a contract refused the request; else the handler failed, or its reply has no form */
  protected abstract report(job: J, error: unknown, isRequest: boolean): void;

  /** Does not throw. */
  protected abstract refuse(job: J, failure: HandlerFailure): void;

  // Apart from `begin`, which would make a scope for the function at each call; so is `#await`.
  #observed(job: J, request: unknown): unknown {
    const properties = this.properties(job);
    if (properties === undefined) return this.handle(job, request);
    const operation = begin<ProcessOperation>(PROCESS, properties);
    job.operation = operation;
    return operation.run(() => this.handle(job, request));
  }

  #await(job: J, result: PromiseLike<unknown>): void {
    // A foreign thenable may settle more than once.
    Promise.resolve(result).then(
      (value) => this.#settle(job, value),
      (error: unknown) => this.#threw(job, error, handlerFailure),
    );
  }

  #settle(job: J, value: unknown): void {
    try {
      if (isAsyncIterable(value)) {
        job.credit = this.streams(job, value);
        void this.#stream(job, job.credit, job.operation?.runEach(value) ?? value);
        return;
      }
      job.place.unlink();
      const sending = this.reply(job, value);
      if (sending !== undefined) sending.catch((error: unknown) => this.#threw(job, error, handlerFailure));
      job.operation?.end();
    } catch (error) {
      this.#threw(job, error, handlerFailure);
    }
  }

  /** Never rejects. */
  async #stream(job: J, credit: SendCredit, parts: AsyncIterable<unknown>): Promise<void> {
    let steps: AsyncIterator<unknown> | undefined;
    let isOpen = false;
    let left: HandlerFailure | undefined;
    try {
      steps = parts[Symbol.asyncIterator]();
      // Also of an aborted job: an iterator that was never asked cannot end its source, such as a file's stream.
      let step = await steps.next();
      isOpen = step.done !== true;
      while (isOpen && left === undefined && !job.aborted) {
        if (!credit.hasRoom) {
          await credit.room();
          if (!credit.hasRoom) left = UNREAD;
          continue;
        }
        left = await this.part(job, step.value);
        if (left !== undefined || job.aborted) break;
        isOpen = false;
        step = await steps.next();
        isOpen = step.done !== true;
      }
      if (isOpen) await leave(steps);
      job.place.unlink();
      if (!isOpen && !job.aborted) {
        this.end(job, step.value);
        job.operation?.end();
        return;
      }
      if (left === undefined || job.aborted) left = CANCELLED;
      job.operation?.end(new Error(left.text));
      this.refuse(job, left);
    } catch (error) {
      // Left as by a loop; the first error is the answer.
      if (isOpen) await leave(steps).catch(ignore);
      this.#threw(job, error, handlerFailure);
    }
  }

  #threw(job: J, error: unknown, failureOf: (error: unknown) => HandlerFailure): void {
    job.place.unlink();
    job.operation?.end(error ?? new Error("the handler threw no error"));
    const isRefused = isRefusal(error) && error.reason !== "invalid-reply";
    const isRequest = failureOf === requestFailure || isRefused;
    if (isRequest || !job.aborted) this.report(job, error, isRequest);
    this.refuse(job, failureOf(error));
  }
}

async function leave(steps: AsyncIterator<unknown> | undefined): Promise<void> {
  await steps?.return?.();
}

// --- Servers that answer with one reply ------------------------------------------------------------------------------

export const HANDLER_OPTIONS = {
  /** Concurrent handlers; more requests get an error. Default 1,000. */
  maxInFlight: integer({ default: 1_000 }),
  codec: codec(),
  /** Options of the clients' socket, such as security. */
  socketOptions: object<RouterOptions>(["codec"]),
};

export const HANDLER_EVENTS = {
  /** A handler failed, or its reply cannot be encoded. */
  "handler:failed": event<{ readonly error: unknown }>(),
  /** Not a request of the protocol, or a body that the codec refuses. */
  "message:invalid": event<{ readonly frames: number }>(),
};

/** `signal` is a getter, which a copy by `{ ...context }` does not have. */
export interface RequestContext {
  /** Aborted when the server closes before the reply, or a `BinaryStarServer` stops being active. */
  readonly signal: AbortSignal;
  /** The client's routing id. */
  readonly client: Buffer;
}

/** Answers one request. Clients get the message of an error only if it is a `ServiceError` or has `expose: true`. */
export type RequestHandler<T> = (
  request: BodyOf<T>,
  context: RequestContext,
) => BodyFor<Settled<T>> | Promise<BodyFor<Settled<T>>>;

export class RequestJob<R> extends HandlerJob implements RequestContext {
  readonly client: Buffer;
  readonly request: R;
  readonly body: readonly Buffer[];

  constructor(client: Buffer, request: R, body: readonly Buffer[]) {
    super();
    this.client = client;
    this.request = request;
    this.body = body;
  }
}

interface HandlerSettings {
  readonly maxInFlight: number;
  /** Of both. */
  readonly codec?: Codec<never> | undefined;
  readonly requestCodec?: Codec<never> | undefined;
  readonly replyCodec?: Codec<never> | undefined;
}

/** @typeParam R a request without its body: what a reply needs */
export interface RequestServer<R> {
  emit(event: EventsOf<typeof HANDLER_EVENTS>): void;
  /** @returns whether it was sent. Throws, or rejects, for a reply that cannot be sent */
  reply(request: R, body: Buffer[]): boolean | Promise<boolean>;
  /** Does not throw. */
  refuse(request: R, failure: HandlerFailure): void | Promise<void>;
}

/** Requests in the handlers of a server that answers each with one reply. */
export class HandlerJobs<R> extends HandlerRuntime<RequestJob<R>> {
  /** `failed` includes requests that the server refused. */
  readonly counts = { requests: 0, replied: 0, failed: 0, invalid: 0 };
  readonly #handler: (request: never, context: RequestContext) => unknown;
  readonly #requests: BodyShape<never>;
  readonly #replies: BodyShape<never>;
  readonly #server: RequestServer<R>;

  /** @throws InvalidArgumentError `EINVAL` for an invalid handler */
  constructor(
    handler: (request: never, context: RequestContext) => unknown,
    settings: HandlerSettings,
    server: RequestServer<R>,
  ) {
    super(settings.maxInFlight);
    checkFunction("handler", handler);
    this.#handler = handler;
    const { codec, requestCodec = codec, replyCodec = codec } = settings;
    this.#requests = new BodyShape(requestCodec);
    this.#replies = new BodyShape(replyCodec);
    this.#server = server;
  }

  start(client: Buffer, request: R, body: readonly Buffer[]): HandlerJob {
    const job = new RequestJob(client, request, body);
    this.take(job);
    return job;
  }

  malformed(frames: number): void {
    this.counts.invalid += 1;
    this.#server.emit({ type: "message:invalid", frames });
  }

  protected override decode({ body }: RequestJob<R>): unknown {
    return this.#requests.decode(body);
  }

  protected override handle(job: RequestJob<R>, request: unknown): unknown {
    this.counts.requests += 1;
    return this.#handler(request as never, job);
  }

  protected override async reply(job: RequestJob<R>, value: unknown): Promise<void> {
    const body = this.#replies.encode(value as never);
    if (await this.#server.reply(job.request, body)) this.counts.replied += 1;
    this.release(job);
  }

  protected override report({ body }: RequestJob<R>, error: unknown, isRequest: boolean): void {
    if (isRequest) this.malformed(body.length);
    else this.#server.emit({ type: "handler:failed", error });
  }

  protected override async refuse(job: RequestJob<R>, failure: HandlerFailure): Promise<void> {
    if (failure.reason !== "invalid-request") this.counts.failed += 1;
    await this.#server.refuse(job.request, failure);
    this.release(job);
  }
}
