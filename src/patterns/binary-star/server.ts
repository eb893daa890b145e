/**
 * A server that runs as one of a pair: a ROUTER for clients behind the gate of a
 * Binary Star, and a function that answers.
 *
 *   client REQ or DEALER  ── envelope | "" | body ──>  ROUTER ─ gate ─> handler
 *                         <── envelope | "" | reply ──
 *
 * A reply leaves only if this server has served without a break since it admitted
 * the request; else it is dropped and counted, since the other server does not
 * know what it says.
 */
import { InvalidStateError, type ShoalError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import { Envelope } from "../../sockets/envelope.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { BodyOut, Raw, Settled } from "../../sockets/shape.js";
import { checkCount, checkEndpoint, checkFunction, checkKeys } from "../kit/options.js";
import type { StarEvent } from "./events.js";
import { BinaryStarReactor, type BinaryStarReactorStats } from "./reactor.js";
import { BinaryStar, type BinaryStarOptions, type StarStats } from "./star.js";

/** Requests whose handlers run at once; one more is answered with an error. */
const MAX_IN_HAND = 1_000;
/** ms that `handOver` and `close` wait for requests in hand. */
const DRAIN_TIMEOUT = 5_000;

/** What a handler knows of its request. */
export interface StarRequestContext {
  /** Aborted when the reply cannot leave any more: this server ceased to serve, or closes. */
  readonly signal: AbortSignal;
  /** The client's routing id. */
  readonly client: Buffer;
}

/** The body of a request: frames, or with a codec the value. */
export type StarRequest<T> = [T] extends [Raw] ? Buffer[] : T;

/** Answers one request; with a codec it takes and gives the value. */
export type StarHandler<T> = (
  request: StarRequest<T>,
  context: StarRequestContext,
) => BodyOut<Settled<T>> | Promise<BodyOut<Settled<T>>>;

/** How a server of a pair runs. */
export interface BinaryStarServerOptions<T = Raw> {
  /** The pair: role, and how the two find each other. */
  readonly star: BinaryStarOptions;
  /** Where clients connect to this server. */
  readonly endpoint: string;
  readonly handler: StarHandler<NoInfer<T>>;
  /**
   * The reply to a request whose handler failed. Default without a codec: two frames, `ERROR` and the error's
   * message; with a codec there is none, and the client's attempt ends by its time-out.
   */
  readonly errorReply?: (error: unknown) => BodyOut<Settled<NoInfer<T>>>;
  /** Requests in hand at most. Default 1,000. */
  readonly maxInHand?: number;
  /** For the clients' socket, its codec and security. */
  readonly socketOptions?: RouterOptions<T>;
}

/** What happens to a server of a pair, beside what happens to its Binary Star. */
export type BinaryStarServerEvent =
  | StarEvent
  /** A handler threw or rejected, or what it gave is no reply. */
  | { readonly type: "handler-error"; readonly error: unknown }
  /** A message that is no request: no envelope, or no body. */
  | { readonly type: "invalid-request"; readonly frames: number };

/** Counts since the server was made. */
export interface BinaryStarServerStats extends BinaryStarReactorStats {
  readonly star: StarStats;
  readonly inHand: number;
  readonly replied: number;
  readonly failed: number;
  readonly invalid: number;
  /** Replies that did not leave: this server had ceased to serve, or the client was gone. */
  readonly repliesDropped: { readonly notServing: number; readonly unroutable: number };
}

const KEYS = ["star", "endpoint", "handler", "errorReply", "maxInHand", "socketOptions"] as const;

export class BinaryStarServer<T = Raw> {
  readonly star: BinaryStar;
  /** The Binary Star's events and the server's own. */
  readonly events: EventStream<BinaryStarServerEvent> = new EventStream();
  readonly #options: BinaryStarServerOptions<T>;
  readonly #router: Router<T>;
  readonly #maxInHand: number;
  readonly #reactor: BinaryStarReactor<Buffer[]>;
  readonly #inHand = new Set<Promise<void>>();
  #serving = new AbortController();
  #closing: Promise<void> | undefined;
  #draining = false;
  #replied = 0;
  #failed = 0;
  #invalid = 0;
  #notServing = 0;
  #unroutable = 0;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BinaryStarServerOptions<T>) {
    checkKeys("BinaryStarServer", options, KEYS);
    checkEndpoint("endpoint", options.endpoint);
    checkFunction("handler", options.handler);
    this.#options = options;
    this.#maxInHand = checkCount("maxInHand", options.maxInHand ?? MAX_IN_HAND, 1);
    this.star = new BinaryStar(options.star);
    this.#router = new Router<T>({ linger: 0, ...options.socketOptions } as RouterOptions<T>);
    for (const type of [
      "active",
      "passive",
      "waiting",
      "fatal",
      "votes-void",
      "same-role",
      "invalid",
    ] as const)
      this.star.events.on(type, this.#starOnEvent);
    this.#reactor = new BinaryStarReactor(this.star, this.#router as unknown as Router, {
      onRequest: (message) => this.#take(message),
    });
  }

  /** Where clients connect, wildcards filled in; `null` before {@link start}. */
  get endpoint(): string | null {
    return this.#router.lastEndpoint;
  }

  /** @throws TransportError as `bind` does */
  async start(): Promise<void> {
    await this.#router.bind(this.#options.endpoint);
    await this.star.start();
  }

  /**
   * Gives the service over to the passive peer: takes no new request, finishes
   * those in hand, for at most `timeout` ms, then hands over.
   *
   * @throws InvalidStateError `EFSM` when this server does not serve, or no passive peer is there
   */
  async handOver(options: { readonly timeout?: number } = {}): Promise<void> {
    if (this.star.state !== "active" || this.star.stats().peer !== "passive")
      throw new InvalidStateError("EFSM", "Only the active server of a pair can hand over, to a passive one");
    this.#draining = true;
    try {
      await this.#drain(options.timeout ?? DRAIN_TIMEOUT);
      this.star.handOver();
    } finally {
      this.#draining = false;
    }
  }

  stats(): BinaryStarServerStats {
    return {
      ...this.#reactor.stats(),
      star: this.star.stats(),
      inHand: this.#inHand.size,
      replied: this.#replied,
      failed: this.#failed,
      invalid: this.#invalid,
      repliesDropped: { notServing: this.#notServing, unroutable: this.#unroutable },
    };
  }

  /** Takes no new request, finishes those in hand for at most `linger` ms, and stops. Closing twice is closing once. */
  close(options: { readonly linger?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.linger ?? DRAIN_TIMEOUT);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(linger: number): Promise<void> {
    this.#draining = true;
    await this.#drain(linger);
    this.#serving.abort();
    await this.star.close();
    await this.#router.close({ linger });
    await this.#reactor.ended;
    this.events.close();
  }

  #take(message: Buffer[]): void {
    if (this.#draining) {
      this.#notServing += 1;
      return;
    }
    let request: { envelope: Envelope; body: Buffer[] };
    try {
      request = Envelope.parse(message);
    } catch {
      this.#refuse(message);
      return;
    }
    if (request.body.length === 0) {
      this.#refuse(message);
      return;
    }
    const work = this.#answer(request.envelope, request.body);
    this.#inHand.add(work);
    void work.finally(() => this.#inHand.delete(work));
  }

  #refuse(message: readonly Buffer[]): void {
    this.#invalid += 1;
    this.events.emit({ type: "invalid-request", frames: message.length });
  }

  async #answer(envelope: Envelope, body: Buffer[]): Promise<void> {
    const { term } = this.star;
    const { signal } = this.#serving;
    let reply: BodyOut<Settled<T>> | undefined;
    try {
      if (this.#inHand.size >= this.#maxInHand) throw new Error("overloaded");
      const coded = this.#options.socketOptions?.codec !== undefined;
      const request = (coded ? body[body.length - 1] : body) as StarRequest<T>;
      reply = await this.#options.handler(request, { signal, client: envelope.routingId });
      if (await this.#send(envelope, reply, term)) this.#replied += 1;
    } catch (error) {
      this.#failed += 1;
      this.events.emit({ type: "handler-error", error });
      await this.#sendError(envelope, error, term);
    }
  }

  async #sendError(envelope: Envelope, error: unknown, term: number): Promise<void> {
    const { errorReply, socketOptions } = this.#options;
    try {
      if (errorReply !== undefined) await this.#send(envelope, errorReply(error), term);
      else if (socketOptions?.codec === undefined)
        await this.#send(envelope, ["ERROR", messageOf(error)] as never, term);
    } catch (failure) {
      this.events.emit({ type: "handler-error", error: failure });
    }
  }

  /** @returns whether it left; throws only for what is no reply */
  async #send(envelope: Envelope, reply: BodyOut<Settled<T>>, term: number): Promise<boolean> {
    // A handler that held the process up for long leaves a doubt: the reply waits for its end.
    if (!(await this.star.whenCertain()) || this.star.term !== term) {
      this.#notServing += 1;
      return false;
    }
    try {
      await this.#router.reply(envelope, reply as BodyOut<T>);
      return true;
    } catch (error) {
      const { code } = error as ShoalError;
      if (code !== "EHOSTUNREACH" && code !== "EAGAIN" && code !== "EBADF") throw error;
      this.#unroutable += 1;
      return false;
    }
  }

  async #drain(timeout: number): Promise<void> {
    if (this.#inHand.size === 0 || timeout === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      if (timeout > 0) timer = setTimeout(resolve, timeout);
    });
    await Promise.race([Promise.all(this.#inHand), late]);
    clearTimeout(timer);
  }

  #starOnEvent = (event: StarEvent): void => {
    // A doubt may end as if nothing had happened: what is in hand goes on meanwhile.
    const doubt = "cause" in event && event.cause === "stalled";
    if (event.type === "active" && !doubt) this.#serving = new AbortController();
    else if (event.type === "passive" || event.type === "fatal" || (event.type === "waiting" && !doubt))
      this.#serving.abort();
    this.events.emit(event);
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
