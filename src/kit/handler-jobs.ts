/** Requests in the handlers of a server that answers each with one reply. */
import { type EventsOf, event } from "../core/event-stream.js";
import type { Codec } from "../sockets/codec.js";
import type { RouterOptions } from "../sockets/request-reply.js";
import type { Settled } from "../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "./body.js";
import type { HandlerFailure } from "./errors.js";
import { HandlerJob, HandlerRuntime } from "./handler-runtime.js";
import { checkFunction, codec, integer, object } from "./options.js";

export const HANDLER_OPTIONS = {
  /** Concurrent handlers; more requests get an error. Default 1,000. */
  maxInFlight: integer({ default: 1_000 }),
  codec: codec(),
  /** Options of the clients' socket, such as security. */
  socketOptions: object<RouterOptions>(),
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

export class HandlerJobs<R> extends HandlerRuntime<RequestJob<R>> {
  /** `failed` includes requests that the server refused. */
  readonly counts = { requests: 0, replied: 0, failed: 0, invalid: 0 };
  readonly #handler: (request: never, context: RequestContext) => unknown;
  readonly #requests: BodyShape<never>;
  readonly #replies: BodyShape<never>;
  readonly #server: RequestServer<R>;

  /** @throws InvalidArgumentError `EINVAL` for an invalid handler or codec */
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
