/** A client: sockets and a timer around client-rules.ts. */

import crypto from "node:crypto";
import { endedWith, type RequestOperation, startRequest } from "../../core/diagnostics.js";
import { AbortedError, ClosedError, type ShoalError, TimeoutError } from "../../core/errors.js";
import { DriverTimer } from "../../core/timers.js";
import {
  checkWait,
  IdleWaits,
  ignore,
  neverLate,
  refusedWait,
  rejectNextTurn,
  Waiter,
  type WaitOptions,
} from "../../core/waiter.js";
import { type BodyFor, type BodyOf, BodyShape } from "../../kit/body.js";
import { type ServiceContract, serviceClient } from "../../kit/contract.js";
import { Driver } from "../../kit/driver.js";
import { EndpointList, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { checkOptions } from "../../kit/options.js";
import type { Codec } from "../../sockets/codec.js";
import { encodeValue, type MessageLike, type Raw, toMessage } from "../../sockets/message.js";
import { Dealer } from "../../sockets/request-reply.js";
import { BatchingDealer, takingBatches } from "./batch.js";
import {
  Call,
  type CalledService,
  type CallSink,
  type CallTerms,
  type Decode,
  PieceSink,
  WholeSink,
} from "./client-calls.js";
import {
  type ClientSettings,
  callTerms,
  checkCall,
  EVENTS,
  type MajordomoCallOptions,
  type MajordomoClientEvent,
  type MajordomoClientOptions,
  type MajordomoClientStats,
  type MajordomoService,
  mergeCall,
  OPTIONS,
  observedTerms,
  PROTOCOLS,
} from "./client-options.js";
import { ClientRules } from "./client-rules.js";
import { type Frames, type FromClient, RESERVED_PREFIX, serviceFrame } from "./protocol.js";

interface Ask<T> {
  readonly service: string;
  readonly frames: Frames;
  readonly decode: Decode<T>;
  /** Of a contract; else empty. */
  readonly method: string;
  readonly options: MajordomoCallOptions | undefined;
  readonly started?: Started;
}

/** Gets the function that cancels the request and rejects the call. */
type Started = (end: (error: ShoalError) => void) => void;

type TraceHeaders = Readonly<Record<string, string>>;

/** ms until a socket that could not be opened counts as ended. */
const OPEN_RETRY = 1_000;
/** Cached names. */
const MAX_SERVICES = 10_000;
/** ms without an answer of a new service until the broker is asked for it: most report an error after 1,000. */
const UNKNOWN_AFTER = 1_500;

/**
 * Calls services of a Majordomo broker, with any number of requests in flight. Of several brokers, the next is used
 * when one is silent or disconnected. At shoal's brokers a repeated request is not handled again.
 *
 * @example
 * ```ts
 * import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
 *
 * const broker = new MajordomoBroker();
 * const endpoint = await broker.bind("tcp://127.0.0.1:*");
 * const worker = new MajordomoWorker(endpoint, "double", ([n]) => String(2 * Number(n)), { concurrency: 8 });
 * const client = new MajordomoClient(endpoint);
 * console.log(String(await client.request("double", "21"))); // 42
 * await client.close();
 * await worker.close();
 * await broker.close();
 * ```
 */
export class MajordomoClient<Req = Raw, Rep = Raw> extends Driver<
  MajordomoClientEvent,
  MajordomoClientStats
> {
  readonly #rules: ClientRules;
  readonly #timer: DriverTimer;
  /** By the numbers of connections, which are used once. */
  readonly #sockets = new Map<number, BatchingDealer<"client">>();
  readonly #endpoints: EndpointList;
  readonly #requestCodec: Codec<Req> | undefined;
  readonly #decode: Decode<BodyOf<Rep>>;
  readonly #settings: ClientSettings;
  /** Of a call without options. */
  readonly #terms: CallTerms;
  readonly #services = new Map<string, CalledService>();
  /** Time of this turn: reading the clock per request cost as much as sending it. */
  #time = 0;
  #timed = false;
  readonly #idle = new IdleWaits();
  /** Ends the questions of {@link #warnIfUnknown}. */
  readonly #asking = new AbortController();

  /**
   * @param endpoints of brokers, or a source: the first that answers is used until it fails. A removed broker gets no
   *   new requests and is left after its last answer; calls wait while the source is empty
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(endpoints: PatternEndpoints, options: MajordomoClientOptions<Req, Rep> = {}) {
    super("MajordomoClient", EVENTS);
    const settings = checkOptions("MajordomoClient", OPTIONS, options);
    const { requestCodec, replyCodec } = options;
    const { socketOptions, timeout, retries } = settings;
    this.#endpoints = new EndpointList("endpoints", endpoints, {
      socket: () => takingBatches(new Dealer(socketOptions)),
    });
    const all = this.#endpoints.current;
    const dialect = PROTOCOLS[settings.protocol];
    this.#settings = settings;
    this.#terms = callTerms(timeout, retries);
    this.#requestCodec = requestCodec;
    const replies = new BodyShape(replyCodec);
    this.#decode = (frames) => replies.decode(frames);
    this.#timer = new DriverTimer(settings.heartbeatInterval);
    const effects = {
      open: (connection: number, endpoint: string): void => {
        if (this.#endpoints.connect(endpoint, () => this.#open(connection, endpoint))) return;
        // Not at once: a permanent failure would repeat without end.
        const disconnected = (now: number): void => this.#rules.disconnected(connection, now, true);
        setTimeout(() => this.#timer.run(disconnected), OPEN_RETRY).unref();
      },
      close: (connection: number): void => {
        void this.#sockets.get(connection)?.close(0);
        this.#sockets.delete(connection);
      },
      send: (connection: number, message: FromClient): boolean =>
        (this.#sockets.get(connection)?.send(message) ?? true) === true,
      event: (event: MajordomoClientEvent): void => {
        if (event.type === "broker:joined") this.reached();
        this.events.emit(event);
      },
      idle: (): void => this.#idle.end(),
    };
    this.#rules = new ClientRules({ ...settings, endpoints: all, dialect }, effects, crypto.randomBytes(8));
    this.#rules.start(this.#timer.now());
    this.#timer.start(this.#rules);
    this.#endpoints.start(
      (list) => this.#timer.run((now) => this.#rules.setEndpoints(list, now)),
      this.events,
    );
  }

  /**
   * Settles when a broker answers. Calls need not wait for it.
   *
   * @param options `timeout` in ms, default -1: no limit; `signal`
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, or `EAGAIN` at close
   */
  ready(options?: WaitOptions): Promise<void> {
    return this.whenReached(this.#rules.hasBroker, options);
  }

  override stats(): MajordomoClientStats {
    return this.#rules.stats();
  }

  /**
   * Sends a request and returns its answer; pieces are joined.
   *
   * @returns the reply's frames, or with a codec the value
   * @throws ServiceError `ERR_SERVICE` with a `reason`: no such service, handler failed, overloaded, …
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` past `maxPending`
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` when a codec refuses the request or reply
   */
  request(service: string, body: BodyFor<Req>, options?: MajordomoCallOptions): Promise<BodyOf<Rep>> {
    try {
      return this.#request(this.#ask(service, body, options));
    } catch (error) {
      return rejectNextTurn(error);
    }
  }

  /**
   * @internal A request whose answer the caller decodes, without one more promise.
   * @param how `started` serves an owner who ends the request: with a signal for each, Titanic's cost a tenth more
   */
  requestAs<T>(
    service: string,
    body: MessageLike[],
    decode: Decode<T>,
    how: { readonly options?: MajordomoCallOptions | undefined; readonly started?: Started } = {},
  ): Promise<T> {
    const frames = toMessage(body) as Frames;
    return this.#request({ service, frames, decode, method: "", options: undefined, ...how });
  }

  /**
   * @internal A call of several requests. Its rejection at close needs no handler.
   * @param steps gets a pause in ms, which a connection, the signal or the close ends early
   */
  poll<T>(
    steps: (pause: (ms: number, signal: AbortSignal | undefined) => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const pause = async (ms: number, signal: AbortSignal | undefined): Promise<void> => {
      try {
        await this.whenReached(false, { timeout: Math.max(1, Math.round(ms)), signal });
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
      }
    };
    return this.run(() => steps(pause));
  }

  /**
   * Returns a function for each method of a contract. A request that violates its schema rejects with `EINVAL`, such a
   * reply with `ERR_INVALID_MESSAGE`. Methods with `stream` return an async iterator, and throw instead of rejecting.
   * The client's codecs are not used.
   *
   * @param defaults options of all calls
   * @throws InvalidArgumentError `EINVAL` for an invalid contract or option
   */
  service<C extends ServiceContract>(contract: C, defaults: MajordomoCallOptions = {}): MajordomoService<C> {
    checkCall("service", defaults);
    const asked = <T>(
      frames: readonly unknown[],
      decode: Decode<T>,
      options: MajordomoCallOptions | undefined,
    ): Ask<T> => ({
      service: contract.name,
      frames: frames as Frames,
      decode,
      method: String(frames[0]),
      options: mergeCall(defaults, options),
    });
    return serviceClient<C, MajordomoCallOptions>(contract, {
      request: (frames, decode, options) => this.#request(asked(frames, decode, options)),
      stream: (frames, decode, options) => this.#stream(asked(frames, decode, options)),
    });
  }

  /**
   * Sends a request and yields the pieces of its answer. The handler runs at most 64 KiB and two pieces ahead of the
   * reader. Leaving the loop cancels the request.
   *
   * @throws as {@link request}; ServiceError `incomplete` if a piece is missing (a plain broker does not notice)
   */
  stream(
    service: string,
    body: BodyFor<Req>,
    options?: MajordomoCallOptions,
  ): AsyncIterableIterator<BodyOf<Rep>, undefined> {
    return this.#stream(this.#ask(service, body, options));
  }

  /** Waits for calls in flight. */
  protected override onDrain(): Promise<void> {
    this.#asking.abort();
    return this.#idle.wait(this.#rules.idle);
  }

  /** Ignores linger. */
  protected override async onClose(): Promise<void> {
    this.#endpoints.stop();
    this.#rules.close(({ sink }) =>
      sink.failed(new ClosedError("EAGAIN", "The client closed before the answer came")),
    );
    this.#idle.end();
    this.#timer.stop();
    await Promise.all([...this.#sockets.values()].map((socket) => socket.close(0)));
  }

  /** The name may be misspelled; a broker that has just started waits for workers to return. */
  async #warnIfUnknown(service: CalledService): Promise<void> {
    if (service.isKnown || this.stopping) return;
    const { name } = service;
    const decode = ([status]: Buffer[]): string => String(status);
    const options = { signal: this.#asking.signal };
    const ask = { service: "mmi.service", frames: [name], decode, method: "", options };
    const status = await this.#whole(ask);
    if (status !== "404" || service.isKnown) return;
    process.emitWarning(
      `MajordomoClient waits for the service ${name}: the broker at ${this.stats().broker} has no worker of that name. Check the name, and that a worker runs.`,
      { type: "ShoalWarning", code: "SHOAL_NO_SERVICE" },
    );
  }

  #ask(service: string, body: BodyFor<Req>, options: MajordomoCallOptions | undefined): Ask<BodyOf<Rep>> {
    const codec = this.#requestCodec;
    const message = codec === undefined ? toMessage(body) : encodeValue(codec, body as Req);
    const frames = (Array.isArray(message) ? message : [message]) as Frames;
    return { service, frames, decode: this.#decode, method: "", options };
  }

  #request<T>(ask: Ask<T>): Promise<T> {
    const operation = startRequest("majordomo", ask.service, ask.method, false, ask.options?.headers);
    return operation === undefined ? this.#whole(ask) : this.#observed(ask, operation);
  }

  // Apart from `#request`, which would make a scope for the function at each call.
  #observed<T>(ask: Ask<T>, operation: RequestOperation): Promise<T> {
    return operation.endWith(operation.run(() => this.#whole(ask, operation.added)));
  }

  #whole<T>(ask: Ask<T>, added?: TraceHeaders): Promise<T> {
    const { options, decode } = ask;
    try {
      if (options !== undefined) checkCall("request", options);
      const signal = options?.signal;
      const refused = signal === undefined ? undefined : refusedWait({ signal });
      if (refused !== undefined) return refused;
      const sink = new WholeSink(decode, this.#settings.maxAnswerBytes);
      const call = this.#submit(ask, sink, added);
      if (signal !== undefined) this.#endWith(signal, call, sink);
      ask.started?.((error) => {
        this.#cancel(call);
        sink.failed(error);
      });
      return sink.promise;
    } catch (error) {
      return rejectNextTurn(error);
    }
  }

  #stream<T>(ask: Ask<T>): AsyncIterableIterator<T, undefined> {
    const operation = startRequest("majordomo", ask.service, ask.method, true, ask.options?.headers);
    if (operation === undefined) return this.#pieces(ask);
    try {
      return endedWith(
        operation.run(() => this.#pieces(ask, operation.added)),
        operation,
      );
    } catch (error) {
      operation.end(error);
      throw error;
    }
  }

  #pieces<T>(ask: Ask<T>, added?: TraceHeaders): AsyncIterableIterator<T, undefined> {
    const { options, decode } = ask;
    if (options !== undefined) checkCall("stream", options);
    const signal = options?.signal;
    const isAborted = signal?.aborted === true;
    if (signal !== undefined && !isAborted) checkWait({ signal });
    let call: Call | undefined;
    const sink = new PieceSink(decode, this.#settings.maxAnswerBytes, {
      read: (cost) => {
        if (call !== undefined) this.#rules.read(call, cost, this.#now());
      },
      giveUp: () => {
        if (call !== undefined) this.#cancel(call);
      },
    });
    if (isAborted) sink.failed(new AbortedError(signal.reason));
    else call = this.#submit(ask, sink, added);
    if (call !== undefined && signal !== undefined) this.#endWith(signal, call, sink);
    return sink;
  }

  /** Cancels the call on abort. */
  #endWith(signal: AbortSignal, call: Call, sink: CallSink): void {
    if (sink.done) return; // It may have failed as it was made.
    const waiter = new Waiter<never>(-1, signal, neverLate, () => this.#cancel(call));
    waiter.promise.catch((error: unknown) => sink.failed(error as ShoalError));
    sink.onDone = () => waiter.resolve(undefined as never);
  }

  #submit<T>({ service, frames, options }: Ask<T>, sink: CallSink, added: TraceHeaders | undefined): Call {
    this.assertOpen();
    const { timeout, retries } = this.#settings;
    const terms =
      options === undefined
        ? this.#terms
        : callTerms(options.timeout ?? timeout, options.retries ?? retries, options.headers);
    const call = new Call(this.#serviceOf(service), frames, observedTerms(terms, added), sink);
    this.#rules.submit(call, this.#now());
    return call;
  }

  #serviceOf(name: string): CalledService {
    const service = this.#services.get(name);
    if (service !== undefined) return service;
    const made = { name, frame: serviceFrame(name), isKnown: false };
    if (this.#services.size >= MAX_SERVICES) this.#services.clear();
    this.#services.set(name, made);
    // Such brokers have answered a question of 8/MMI.
    if (this.#settings.protocol === "auto" && !name.startsWith(RESERVED_PREFIX))
      setTimeout(() => this.#warnIfUnknown(made).catch(ignore), UNKNOWN_AFTER).unref();
    return made;
  }

  #now(): number {
    if (!this.#timed) {
      this.#time = this.#timer.now();
      this.#timed = true;
      setImmediate(this.#turnOnEnd);
    }
    return this.#time;
  }

  #turnOnEnd = (): void => {
    this.#timed = false;
    this.#timer.update();
  };

  #open(connection: number, endpoint: string): void {
    const rules = this.#rules;
    const socket = new BatchingDealer("client", endpoint, this.#settings.socketOptions, {
      arrived: (read) => {
        const now = this.#now();
        read((message) => rules.receive(connection, message, now));
      },
      ended: () => rules.disconnected(connection, this.#now()),
      refused: (error) => rules.refused(connection, this.#now(), error),
      writable: () => rules.writable(connection, this.#now()),
    });
    this.#sockets.set(connection, socket);
  }

  #cancel(call: Call): void {
    if (!this.closed) this.#rules.cancel(call, this.#now());
  }
}
