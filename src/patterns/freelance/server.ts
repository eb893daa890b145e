/**
 * A server of any of the three models: a ROUTER and a function that answers.
 *
 * A server of model 3 is known to its clients by its Identity, which has to be
 * the endpoint as they dial it. A server bound to every address cannot know that:
 * it is told by `identity`.
 */
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import type { Codec } from "../../sockets/codec.js";
import type { MessageLike } from "../../sockets/message.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { BodyOut, Raw, Settled } from "../../sockets/shape.js";
import { checkCount, checkEndpoint, checkFunction, checkKeys } from "../kit/options.js";
import { decodeBody, encodeBody, type FreelanceBody } from "./body.js";
import { errorReply, type FreelanceModel, parseServerMessage, pong, type ServerCommand } from "./protocol.js";

/** Requests whose handlers run at once; one more is answered with an error. */
const MAX_IN_HAND = 1_000;
/** ms that `close` waits for requests in hand. */
const DRAIN_TIMEOUT = 5_000;

/** What a handler knows of its request. */
export interface FreelanceRequestContext {
  /** Aborted when the server closes without waiting for the reply. */
  readonly signal: AbortSignal;
  /** The client's routing id. */
  readonly client: Buffer;
}

/** Answers one request; with a codec it takes and gives the value. */
export type FreelanceHandler<T> = (
  request: FreelanceBody<T>,
  context: FreelanceRequestContext,
) => BodyOut<Settled<T>> | Promise<BodyOut<Settled<T>>>;

/** How a server runs. */
export interface FreelanceServerOptions<T = Raw> {
  /** Where clients connect. Model 3: `*` in place of an address needs `identity`. */
  readonly endpoint: string;
  readonly handler: FreelanceHandler<NoInfer<T>>;
  /** Which of the Guide's models its clients speak. Default 3. */
  readonly model?: FreelanceModel;
  /** Model 3: the endpoint as clients dial it, byte for byte. Default: `endpoint`, with the port that the system chose. */
  readonly identity?: string;
  /** Requests in hand at most. Default 1,000. */
  readonly maxInHand?: number;
  /** What encodes and decodes bodies, of one frame then. Default: frames as they are. */
  readonly codec?: Codec<T>;
  /** For its socket, security above all. */
  readonly socketOptions?: RouterOptions;
}

/** What happens to a server. */
export type FreelanceServerEvent =
  /** A handler threw or rejected, or what it gave is no reply. */
  | { readonly type: "handler-error"; readonly error: unknown }
  /** A message that the model does not allow, or whose body the codec refuses. */
  | { readonly type: "invalid"; readonly frames: number };

/** Counts since the server was made: received = pings + requests + invalid. */
export interface FreelanceServerStats {
  readonly received: number;
  readonly pings: number;
  readonly requests: number;
  readonly invalid: number;
  readonly inHand: number;
  readonly replied: number;
  /** Handlers that failed, and requests past `maxInHand`. */
  readonly failed: number;
  /** Replies whose client was gone or took nothing. */
  readonly unroutable: number;
}

/** Endpoints whose port the system chooses. */
const WILDCARD = /:(?:\*|0)$/;

const KEYS = ["endpoint", "handler", "model", "identity", "maxInHand", "codec", "socketOptions"] as const;

type RequestCommand = Extract<ServerCommand, { readonly type: "request" }>;

export class FreelanceServer<T = Raw> {
  readonly events: EventStream<FreelanceServerEvent> = new EventStream();
  readonly #options: FreelanceServerOptions<T>;
  readonly #model: FreelanceModel;
  readonly #router: Router;
  readonly #maxInHand: number;
  readonly #inHand = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  readonly #counts = { received: 0, pings: 0, requests: 0, invalid: 0, replied: 0, failed: 0, unroutable: 0 };
  #reading: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #draining = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: FreelanceServerOptions<T>) {
    checkKeys("FreelanceServer", options, KEYS);
    const { endpoint, model = 3, identity } = options;
    checkEndpoint("endpoint", endpoint);
    checkFunction("handler", options.handler);
    if (model !== 1 && model !== 2 && model !== 3)
      throw new InvalidArgumentError(`Option model is 1, 2 or 3; got ${String(model)}`);
    if (identity !== undefined) checkEndpoint("identity", identity);
    if (model === 3 && (identity ?? endpoint).startsWith("tcp://*")) {
      throw new InvalidArgumentError(
        `A client of model 3 knows its server by the endpoint it dials, which ${identity ?? endpoint} is not: give identity`,
      );
    }
    this.#options = options;
    this.#model = model;
    this.#maxInHand = checkCount("maxInHand", options.maxInHand ?? MAX_IN_HAND, 1);
    this.#router = new Router({
      linger: 0,
      mandatory: true,
      ...options.socketOptions,
    });
  }

  /** Where it listens, wildcards filled in; `null` before {@link start}. */
  get endpoint(): string | null {
    return this.#router.lastEndpoint;
  }

  /** @throws TransportError as `bind` does */
  async start(): Promise<void> {
    const { endpoint, identity } = this.#options;
    if (this.#model === 3 && identity === undefined && WILDCARD.test(endpoint)) {
      // An Identity is that of the moment of binding: the port is asked for first, then bound under its name.
      await this.#router.bind(endpoint);
      const chosen = this.#router.lastEndpoint as string;
      await this.#router.unbind(chosen);
      this.#router.routingId = chosen;
      await this.#router.bind(chosen);
    } else {
      if (this.#model === 3) this.#router.routingId = identity ?? endpoint;
      await this.#router.bind(endpoint);
    }
    this.#reading = this.#read();
  }

  stats(): FreelanceServerStats {
    return { ...this.#counts, inHand: this.#inHand.size };
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
    if (this.#inHand.size > 0 && linger !== 0) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        if (linger > 0) timer = setTimeout(resolve, linger);
      });
      await Promise.race([Promise.all(this.#inHand), late]);
      clearTimeout(timer);
    }
    this.#abort.abort();
    await this.#router.close({ linger });
    await this.#reading;
    this.events.close();
  }

  async #read(): Promise<void> {
    for await (const frames of this.#router) {
      this.#counts.received += 1;
      const command = parseServerMessage(this.#model, frames);
      if (command === undefined) this.#invalid(frames.length);
      else if (command.type === "ping") {
        this.#counts.pings += 1;
        // One that drains answers no PING: its clients go elsewhere.
        if (!this.#draining) this.#send(pong(command.client));
      } else if (this.#draining) this.#fail(command, "stopping");
      else if (this.#inHand.size >= this.#maxInHand) this.#fail(command, "overloaded");
      else this.#take(command);
    }
  }

  #take(command: RequestCommand): void {
    this.#counts.requests += 1;
    const work = this.#answer(command);
    this.#inHand.add(work);
    void work.finally(() => this.#inHand.delete(work));
  }

  async #answer(command: RequestCommand): Promise<void> {
    const { codec, handler } = this.#options;
    let request: FreelanceBody<T>;
    try {
      const body = decodeBody(codec, command.body);
      request = (codec === undefined ? body : body[0]) as FreelanceBody<T>;
    } catch {
      this.#counts.requests -= 1;
      this.#invalid(command.body.length);
      this.#send([...command.head, ...errorReply(this.#model, "the request is not of the expected form")]);
      return;
    }
    try {
      const reply = await handler(request, { signal: this.#abort.signal, client: command.client });
      const body = encodeBody(codec, reply as BodyOut<T>);
      if (this.#send([...command.head, ...body])) this.#counts.replied += 1;
    } catch (error) {
      this.events.emit({ type: "handler-error", error });
      this.#counts.failed += 1;
      this.#send([...command.head, ...errorReply(this.#model, messageOf(error))]);
    }
  }

  #fail(command: RequestCommand, text: string): void {
    this.#counts.requests += 1;
    this.#counts.failed += 1;
    this.#send([...command.head, ...errorReply(this.#model, text)]);
  }

  #invalid(frames: number): void {
    this.#counts.invalid += 1;
    this.events.emit({ type: "invalid", frames });
  }

  /** A client that is gone, or takes nothing, is not waited for. */
  #send(message: MessageLike[]): boolean {
    try {
      if (this.#router.trySend(message)) return true;
    } catch (error) {
      const { code } = error as ShoalError;
      if (code !== "EHOSTUNREACH" && code !== "EAGAIN" && code !== "EBADF") throw error;
    }
    this.#counts.unroutable += 1;
    return false;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
