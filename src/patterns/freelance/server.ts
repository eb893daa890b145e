/**
 * Server of any of the three models: a ROUTER and a handler.
 *
 * Behind a gate it is half of a pair: requests and model 3's PINGs are client votes. The passive server answers
 * neither, so model 3's clients consider it dead.
 */

import { InvalidArgumentError } from "../../core/errors.js";
import type { EventsOf } from "../../core/event-stream.js";
import { Mutex, withTimeout } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import {
  HANDLER_EVENTS,
  HANDLER_OPTIONS,
  HandlerJobs,
  type RequestHandler,
} from "../../kit/handler-runtime.js";
import {
  checkEndpoint,
  checkOptions,
  choice,
  type GivenWithCodec,
  type ServerGate,
  serverGate,
  text,
} from "../../kit/options.js";
import type { MessageLike, Raw } from "../../sockets/message.js";
import { Router } from "../../sockets/request-reply.js";
import type { FREELANCE_SERVER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import {
  errorReply,
  type FreelanceModel,
  PONG,
  parseServerMessage,
  type ServerCommand,
  STOPPING,
} from "./protocol.js";

export type FreelanceServerEvent = EventsOf<typeof HANDLER_EVENTS>;

/** received = pings + requests + invalid + refused by the gate. */
export type FreelanceServerStats = StatisticsOf<typeof FREELANCE_SERVER>;

const WILDCARD = /:(?:\*|0)(?:\/|$)/;

const OPTIONS = {
  ...HANDLER_OPTIONS,
  /** The Guide's model that its clients speak. Default 3. */
  model: choice([1, 2, 3], 3),
  /** Model 3: the endpoint as clients dial it. Default: the bound endpoint. */
  identity: text(),
  /** A `BinaryStarGate` makes the server half of a pair. Default: none. */
  gate: serverGate(),
};

export type FreelanceServerOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

type RequestCommand = Extract<ServerCommand, { readonly type: "request" }>;

/**
 * Answers clients of any of Freelance's three models (10/FLP) without a broker. Model 3's clients know a server by
 * its endpoint: if bound to all addresses, it needs the option `identity`.
 * {@link FreelanceClient} has an example.
 */
export class FreelanceServer<T = Raw> extends Driver<FreelanceServerEvent, FreelanceServerStats> {
  readonly #model: FreelanceModel;
  readonly #identity: string | undefined;
  readonly #gate: ServerGate | undefined;
  readonly #router: Router;
  readonly #jobs: HandlerJobs<RequestCommand>;
  readonly #counts = { received: 0, pings: 0, unroutable: 0, notServing: 0 };
  readonly #binding = new Mutex();
  #reading: Promise<void> | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(handler: RequestHandler<NoInfer<T>>, options: FreelanceServerOptions<T> = {}) {
    super("FreelanceServer", HANDLER_EVENTS);
    const settings = checkOptions("FreelanceServer", OPTIONS, options);
    this.#jobs = new HandlerJobs(handler, settings, {
      emit: (event) => this.events.emit(event),
      reply: ({ head }, body) => this.#send([...head, ...body]),
      refuse: (command, { text }) => this.#refuse(command, text),
    });
    this.#model = settings.model;
    this.#identity = settings.identity;
    this.#gate = settings.gate;
    if (this.#identity !== undefined) this.#assertDialable(this.#identity);
    this.#router = new Router({ linger: 0, mandatory: true, ...settings.socketOptions, receiveTimeout: -1 });
    this.#gate?.passTo((frames) => this.#serve(parseServerMessage(this.#model, frames) as ServerCommand));
  }

  /** Bound endpoint, wildcards filled in; `null` before {@link bind}. */
  get endpoint(): string | null {
    return this.#router.lastEndpoint;
  }

  /**
   * Model 3: `*` as address needs the option `identity`, and `ipc://*` is refused.
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL`; ClosedError `EBADF`; TransportError as a socket's `bind`
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    checkEndpoint("endpoint", endpoint, "bind");
    // A Router has one Identity.
    const done = await this.#binding.take();
    try {
      return await this.#bind(endpoint);
    } finally {
      done();
    }
  }

  async #bind(given: string): Promise<string> {
    this.assertOpen();
    let endpoint = given;
    if (this.#model === 3) {
      this.#assertDialable(this.#identity ?? endpoint);
      if (this.#identity === undefined && WILDCARD.test(endpoint)) {
        // Identity must be set before binding: get a port first.
        endpoint = await this.#router.bind(endpoint);
        await this.#router.unbind(endpoint);
      }
      this.#router.routingId = this.#identity ?? endpoint;
    }
    const bound = await this.#router.bind(endpoint);
    // A read keeps the process alive.
    this.#reading ??= this.#read();
    return bound;
  }

  stats(): FreelanceServerStats {
    return { ...this.#counts, ...this.#jobs.counts, inFlight: this.#jobs.running };
  }

  /** @internal Clients go elsewhere. */
  protected override onDrain(): Promise<void> {
    return this.#jobs.whenIdle();
  }

  /** @internal */
  protected async onClose(linger: number): Promise<void> {
    await withTimeout(this.onDrain(), linger);
    this.#jobs.abort();
    await this.#router.close({ linger });
    await this.#reading;
  }

  #assertDialable(name: string): void {
    if (this.#model !== 3 || !/^\w+:\/\/\*/.test(name)) return;
    throw new InvalidArgumentError(
      `A client of model 3 knows its server by the endpoint it dials, which ${name} is not: give identity`,
    );
  }

  async #read(): Promise<void> {
    for await (const frames of this.#router) {
      this.#counts.received += 1;
      const command = parseServerMessage(this.#model, frames);
      if (command === undefined) this.#jobs.malformed(frames.length);
      else if (this.#gate === undefined || this.#gate.admit(frames, true)) this.#serve(command);
    }
  }

  #serve(command: ServerCommand): void {
    if (command.type === "ping") {
      this.#counts.pings += 1;
      if (!this.stopping) this.#send([command.client, PONG]);
    } else if (this.stopping) this.#fail(command, STOPPING);
    else if (!this.#jobs.hasSlot) this.#fail(command, "overloaded");
    else this.#jobs.start(command.client, command, command.body);
  }

  #fail(command: RequestCommand, text: string): void {
    this.#jobs.counts.requests += 1;
    this.#jobs.counts.failed += 1;
    this.#refuse(command, text);
  }

  #refuse({ head }: RequestCommand, text: string): void {
    try {
      this.#send([...head, ...errorReply(this.#model, text)]);
    } catch {
      this.#counts.unroutable += 1; // The request's own frames fill a message of this context.
    }
  }

  #send(message: MessageLike[]): boolean {
    if (this.#gate !== undefined && !this.#gate.isServing()) {
      this.#counts.notServing += 1;
      return false;
    }
    if (this.#router.tryDeliver(message) === "sent") return true;
    this.#counts.unroutable += 1;
    return false;
  }
}
