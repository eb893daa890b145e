/** A Majordomo client: sockets and a timer around client-rules.ts. */
import { randomBytes } from "node:crypto";
import {
  ClosedError,
  InvalidArgumentError,
  InvalidMessageError,
  type ShoalError,
  TimeoutError,
} from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import { toMessage } from "../../sockets/message.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { refusedWait, Waiter } from "../../sockets/waiter.js";
import { DriverTimer } from "../common/driver-timer.js";
import { PatternEvents } from "../common/events.js";
import { resolve } from "./broker-options.js";
import type { Call, CallSink } from "./client-call.js";
import type { ClientEvent, ClientStats } from "./client-events.js";
import { ClientRules } from "./client-rules.js";
import { type Decode, PieceSink, WholeSink } from "./client-sinks.js";
import type { Frames } from "./messages-broker.js";
import { Dialect, MAX_SERVICE_NAME } from "./protocol.js";
import { parseAtClient } from "./protocol-client.js";
import { type ManyResult, ManySink, type RequestManyOptions } from "./request-many.js";
import type { ReplyBody, RequestBody } from "./worker-jobs.js";

/** Messages taken from a socket at once. */
const BATCH = 512;

/** The longest time-out, in ms. */
const MAX_TIMEOUT = 2_147_483_647;

const DEFAULTS = Object.freeze({
  protocol: "auto",
  timeout: 30_000,
  retries: 2,
  heartbeatInterval: 2_500,
  liveness: 3,
  maxInFlight: 1_000,
  maxPending: 100_000,
  maxConnections: 16,
});

/** Options of {@link MajordomoClient}. Times are in ms. */
export interface MajordomoClientOptions<Req = Raw, Rep = Raw> {
  /**
   * `"auto"` asks the broker whether it knows shoal's own form, and else speaks MDP 0.1; `"0.1"` and `"0.2"`
   * do not ask. A broker that knows MDP 0.2 only has to be named so. Default `"auto"`.
   */
  readonly protocol?: "auto" | "0.1" | "0.2";
  /** ms for a request, all its attempts together, unless the call says otherwise. Default 30,000. */
  readonly timeout?: number;
  /** Times that a request is sent again, unless the call says otherwise. Default 2. */
  readonly retries?: number;
  /** ms between two heartbeats while answers are awaited. Default 2,500. */
  readonly heartbeatInterval?: number;
  /** Intervals of a broker's silence after which the next one is asked. Default 3. */
  readonly liveness?: number;
  /** Requests sent and not answered; more wait. Default 1,000. */
  readonly maxInFlight?: number;
  /** Requests that wait to be sent; one more is refused with `ERR_TOO_MANY_PENDING`. Default 100,000. */
  readonly maxPending?: number;
  /** Connections to a plain broker, each with one request at a time. Default 16. */
  readonly maxConnections?: number;
  /** Encodes a request, as one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Decodes a reply, of one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
  /** Options of the DEALERs: security, context, high-water marks. */
  readonly socketOptions?: DealerOptions;
}

/** What a call takes. */
export interface CallOptions {
  /**
   * ms for the whole request; -1: no limit. Each of its `retries + 1` attempts has an equal part of it; a
   * piece of the answer starts its part anew. Default: the client's.
   */
  readonly timeout?: number;
  /** Times that it is sent again when an attempt is over or the broker is lost. Default: the client's. */
  readonly retries?: number;
  /** Gives the request up; the worker's signal is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Asks services of a Majordomo broker. Any number of requests may be under way at
 * once, and are answered in any order; awaited one by one it is the synchronous
 * client of the Guide.
 *
 * With several brokers the next is taken when one is silent. Requests to shoal's
 * broker carry an id, so that sending them again does not handle them again.
 */
export class MajordomoClient<Req = Raw, Rep = Raw> {
  /** Brokers that come and go. */
  readonly events: PatternEvents<ClientEvent> = new PatternEvents<ClientEvent>();
  readonly #rules: ClientRules;
  readonly #timer: DriverTimer;
  readonly #dealers = new Map<number, Dealer>();
  readonly #socketOptions: DealerOptions | undefined;
  readonly #requestCodec: Codec<Req> | undefined;
  readonly #decode: Decode<RequestBody<Rep>>;
  readonly #timeout: number;
  readonly #retries: number;
  /** Services by name, as frames. */
  readonly #services = new Map<string, Buffer>();
  #closing: Promise<void> | undefined;

  /**
   * @param endpoints of one broker or several, the preferred first
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(endpoints: string | readonly string[], options: MajordomoClientOptions<Req, Rep> = {}) {
    const { socketOptions, requestCodec, replyCodec, ...given } = options;
    const all = typeof endpoints === "string" ? [endpoints] : [...endpoints];
    if (all.length === 0) throw new InvalidArgumentError("A client has at least one broker");
    const settings = resolve(DEFAULTS, given, "MajordomoClient");
    const protocols: Record<string, Dialect | undefined> = { "0.1": Dialect.Mdp01, "0.2": Dialect.Mdp02 };
    const dialect = protocols[settings.protocol];
    if (dialect === undefined && settings.protocol !== "auto") {
      const got = JSON.stringify(settings.protocol);
      throw new InvalidArgumentError(`protocol is "auto", "0.1" or "0.2"; got ${got}`);
    }
    this.#timeout = settings.timeout;
    this.#retries = settings.retries;
    this.#socketOptions = socketOptions;
    this.#requestCodec = requestCodec;
    this.#decode = decoder(replyCodec) as Decode<RequestBody<Rep>>;
    this.#timer = new DriverTimer(settings.heartbeatInterval);
    const outbox = {
      open: (connection: number, endpoint: string): void => this.#open(connection, endpoint),
      close: (connection: number): void => this.#shut(connection),
      send: (connection: number, message: Frames): boolean => this.#send(connection, message),
      event: (event: ClientEvent): void => this.events.emit(event),
    };
    this.#rules = new ClientRules({ ...settings, endpoints: all, dialect }, outbox, randomBytes(8));
    this.#rules.start(this.#timer.now());
    this.#timer.start(this.#rules);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** The accounts at this moment. */
  stats(): ClientStats {
    return this.#rules.stats();
  }

  /**
   * Asks a service. Pieces of an answer are joined.
   *
   * @returns the reply's frames, or with a codec the value
   * @throws ServiceError `ERR_SERVICE` with a `reason`: no such service, the handler failed, overloaded, …
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` past `maxPending`
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` for what the codecs refuse
   */
  request(service: string, body: ReplyBody<Req>, options?: CallOptions): Promise<RequestBody<Rep>> {
    const signal = options?.signal;
    const refused = signal === undefined ? undefined : refusedWait({ signal });
    if (refused !== undefined) return refused;
    try {
      if (signal !== undefined) return this.#abortable(service, body, options as CallOptions, signal);
      return new Promise((resolve, reject) => {
        this.#submit(service, body, options, new WholeSink(this.#decode, resolve, reject));
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Asks a service, and gives each piece of the answer as it comes (PARTIAL of MDP
   * 0.2). Leaving the loop early gives the request up. Errors are those of {@link request}.
   */
  stream(
    service: string,
    body: ReplyBody<Req>,
    options?: CallOptions,
  ): AsyncIterableIterator<RequestBody<Rep>, undefined> {
    let call: Call | undefined;
    const giveUp = (): void => {
      if (call !== undefined) this.#cancel(call);
    };
    const sink = new PieceSink(this.#decode, giveUp);
    call = this.#submit(service, body, options, sink);
    const signal = options?.signal;
    if (signal === undefined) return sink;
    const waiter = new Waiter<never>(-1, signal, unreachable, giveUp);
    waiter.promise.catch((error: unknown) => sink.failed(error));
    // Takes its hands off the signal, which may live longer.
    sink.onDone = () => waiter.resolve(undefined as never);
    refusedWait({ signal })?.catch((error: unknown) => {
      giveUp();
      sink.failed(error);
    });
    return sink;
  }

  /**
   * Asks all workers that a service has now, each once. Ends with the last answer,
   * or when `count`, `silence`, `until` or `timeout` says so; never repeated.
   *
   * @throws NotSupportedError `NOT_SUPPORTED` with a plain broker; otherwise as {@link request}
   */
  requestMany(
    service: string,
    body: ReplyBody<Req>,
    options: RequestManyOptions<RequestBody<Rep>> = {},
  ): Promise<ManyResult<RequestBody<Rep>>> {
    const refused = refusedWait({ signal: options.signal, timeout: options.timeout });
    if (refused !== undefined) return refused;
    let call: Call | undefined;
    const giveUp = (): void => {
      if (call !== undefined) this.#cancel(call);
    };
    const waiter = new Waiter<ManyResult<RequestBody<Rep>>>(-1, options.signal, unreachable, giveUp);
    const finish = (result: ManyResult<RequestBody<Rep>>): void => {
      giveUp();
      waiter.resolve(result);
    };
    const sink = new ManySink(service, options, this.#decode, finish, (error) => waiter.reject(error));
    try {
      call = this.#submit(service, body, { timeout: -1, retries: 0 }, sink, true);
    } catch (error) {
      sink.failed(error as ShoalError);
    }
    return waiter.promise;
  }

  /** Ends all that is under way with `EAGAIN`, and the connections. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#rules.close((call) => {
      call.sink.failed(new ClosedError("EAGAIN", "The client closed before the answer came"));
    });
    this.#timer.stop();
    const dealers = [...this.#dealers.values()];
    this.#dealers.clear();
    await Promise.all(dealers.map((dealer) => dealer.close({ linger: 0 })));
    this.events.close();
  }

  #abortable(
    service: string,
    body: ReplyBody<Req>,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<RequestBody<Rep>> {
    let call: Call | undefined;
    const waiter = new Waiter<RequestBody<Rep>>(-1, signal, unreachable, () => {
      if (call !== undefined) this.#cancel(call);
    });
    const sink = new WholeSink(
      this.#decode,
      (value) => waiter.resolve(value),
      (error) => waiter.reject(error),
    );
    try {
      call = this.#submit(service, body, options, sink);
    } catch (error) {
      waiter.reject(error as ShoalError);
    }
    return waiter.promise;
  }

  #submit(
    service: string,
    body: ReplyBody<Req>,
    options: CallOptions | undefined,
    sink: CallSink,
    all = false,
  ): Call {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The client is closed");
    const timeout = options?.timeout ?? this.#timeout;
    const retries = options?.retries ?? this.#retries;
    if (!Number.isSafeInteger(timeout) || timeout < -1 || timeout > MAX_TIMEOUT) {
      throw new InvalidArgumentError(`timeout is a whole number of ms, or -1; got ${String(timeout)}`);
    }
    if (!Number.isSafeInteger(retries) || retries < 0) {
      throw new InvalidArgumentError(`retries is a whole number, 0 or more; got ${String(retries)}`);
    }
    const attempt = timeout < 0 ? 0 : Math.max(1, timeout / (retries + 1));
    const message =
      this.#requestCodec === undefined ? toMessage(body) : this.#requestCodec.encode(body as Req);
    const frames = (Array.isArray(message) ? message : [message]) as Frames;
    const frame = this.#serviceFrame(service);
    const how = { all, timeout: attempt, retries };
    const call = this.#rules.submit(frame, frames, how, sink, this.#timer.now());
    this.#timer.update();
    return call;
  }

  #serviceFrame(service: string): Buffer {
    let frame = this.#services.get(service);
    if (frame !== undefined) return frame;
    frame = Buffer.from(service);
    if (frame.length === 0 || frame.length > MAX_SERVICE_NAME) {
      throw new InvalidArgumentError(
        `A service's name has 1 to ${MAX_SERVICE_NAME} bytes; got ${frame.length}`,
      );
    }
    if (this.#services.size >= MAX_SERVICE_NAME) this.#services.clear();
    this.#services.set(service, frame);
    return frame;
  }

  #cancel(call: Call): void {
    if (this.#closing === undefined) this.#rules.cancel(call, this.#timer.now());
  }

  #open(connection: number, endpoint: string): void {
    const dealer = new Dealer({ ...this.#socketOptions });
    this.#dealers.set(connection, dealer);
    dealer.connect(endpoint);
    void this.#receive(connection, dealer);
  }

  #shut(connection: number): void {
    const dealer = this.#dealers.get(connection);
    this.#dealers.delete(connection);
    void dealer?.close({ linger: 0 });
  }

  #send(connection: number, message: Frames): boolean {
    const dealer = this.#dealers.get(connection);
    if (dealer === undefined || dealer.trySend(message)) return true;
    dealer.send(message).then(
      () => {
        if (this.#closing === undefined) this.#rules.writable(connection, this.#timer.now());
      },
      () => undefined,
    );
    return false;
  }

  async #receive(connection: number, dealer: Dealer): Promise<void> {
    try {
      for (;;) {
        const messages = await dealer.receiveMany({ max: BATCH, timeout: -1 });
        const now = this.#timer.now();
        for (const message of messages) {
          // A message may end the connection that it came over.
          if (this.#dealers.get(connection) !== dealer) return;
          this.#rules.receive(connection, parseAtClient(message), now);
        }
        this.#timer.update();
      }
    } catch (error) {
      if (!dealer.closed) throw error;
    }
  }
}

function unreachable(): ShoalError {
  return new TimeoutError("ETIMEDOUT", "unreachable");
}

function decoder(codec: Codec<unknown> | undefined): Decode<unknown> {
  if (codec === undefined) return (frames) => frames;
  return (frames) => {
    if (frames.length !== 1) {
      throw new InvalidMessageError(`A reply here has 1 frame; got ${frames.length}`);
    }
    try {
      return codec.decode(frames[0] as Buffer);
    } catch (cause) {
      if (cause instanceof InvalidMessageError) throw cause;
      throw new InvalidMessageError(`The reply is no ${codec.name}`, { cause });
    }
  };
}
