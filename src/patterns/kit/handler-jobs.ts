/**
 * Requests in the handlers of a server: decoded, handled, and answered or refused.
 *
 *   body ──decode──> handler ──encode──> reply
 *             │          └── throws ──> refuse: handler's failure
 *             └── codec refuses it ──> refuse: invalid request
 */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { IdleWaits } from "../../core/idle-waits.js";
import type { Codec } from "../../sockets/codec.js";
import type { RouterOptions } from "../../sockets/request-reply.js";
import type { Settled } from "../../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "./body.js";
import { type HandlerFailure, handlerFailure, requestFailure } from "./errors.js";
import { checkFunction, codec, integer, object, type Settings } from "./options.js";

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

class HandlerJob implements RequestContext {
  readonly client: Buffer;
  readonly link: Link<HandlerJob> = new Link<HandlerJob>(this);
  aborted = false;
  #controller: AbortController | undefined;

  constructor(client: Buffer) {
    this.client = client;
  }

  // Created on demand, which costs more than the rest of a request. One of the server would keep every listener.
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.aborted = true;
    this.#controller?.abort();
  }
}

/** @typeParam R a request without its body: what a reply needs */
export interface RequestServer<R> {
  emit(event: EventsOf<typeof HANDLER_EVENTS>): void;
  /** @returns whether it was sent */
  reply(request: R, body: Buffer[]): boolean | Promise<boolean>;
  /** Does not throw. */
  refuse(request: R, failure: HandlerFailure): void | Promise<void>;
}

export class HandlerJobs<T, R> {
  /** `failed` includes requests that the server refused. */
  readonly counts = { requests: 0, replied: 0, failed: 0, invalid: 0 };
  readonly #handler: RequestHandler<T>;
  readonly #settings: Settings<typeof HANDLER_OPTIONS>;
  readonly #shape: BodyShape<T>;
  readonly #server: RequestServer<R>;
  readonly #jobs = new LinkedList<HandlerJob>();
  readonly #idle = new IdleWaits();

  /** @throws InvalidArgumentError `EINVAL` for an invalid handler or codec */
  constructor(
    handler: RequestHandler<T>,
    settings: Settings<typeof HANDLER_OPTIONS>,
    server: RequestServer<R>,
  ) {
    checkFunction("handler", handler);
    this.#handler = handler;
    this.#settings = settings;
    this.#shape = new BodyShape(settings.codec as Codec<T> | undefined);
    this.#server = server;
  }

  get length(): number {
    return this.#jobs.length;
  }

  get full(): boolean {
    return this.#jobs.length >= this.#settings.maxInFlight;
  }

  start(client: Buffer, request: R, body: readonly Buffer[]): void {
    const job = new HandlerJob(client);
    this.#jobs.push(job.link);
    void this.#answer(job, request, body).finally(() => {
      job.link.unlink();
      if (this.#jobs.length === 0) this.#idle.end();
    });
  }

  invalid(frames: number): void {
    this.counts.invalid += 1;
    this.#server.emit({ type: "message:invalid", frames });
  }

  /** Settles when all are answered. */
  idle(): Promise<void> {
    return this.#idle.wait(this.#jobs.length === 0);
  }

  abort(): void {
    for (const job of this.#jobs) job.abort();
  }

  async #answer(job: HandlerJob, request: R, body: readonly Buffer[]): Promise<void> {
    let value: BodyOf<T>;
    try {
      value = this.#shape.decode(body);
    } catch (error) {
      this.invalid(body.length);
      await this.#server.refuse(request, requestFailure(error));
      return;
    }
    this.counts.requests += 1;
    try {
      const reply = this.#shape.encode((await this.#handler(value, job)) as BodyFor<T>);
      const sent = this.#server.reply(request, reply);
      if (typeof sent === "boolean" ? sent : await sent) this.counts.replied += 1;
    } catch (error) {
      this.counts.failed += 1;
      // After an abort it is not a failure.
      if (!job.aborted) this.#server.emit({ type: "handler:failed", error });
      await this.#server.refuse(request, handlerFailure(error));
    }
  }
}
