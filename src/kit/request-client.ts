/**
 * Client of several servers that sends one request at a time (the Guide's Lazy Pirate).
 *
 *            request            timeout, disconnected        delay over
 *   free ──────────────> attempt ─────────────────> resting ───────────> the next attempt …
 *     ^                     │                          │
 *     └────── reply ────────┴── after the last attempt, or given up ──> free
 *
 * Each attempt is at the next server. A failed one's socket is closed with its request: no server gets an outdated
 * request, and no call another's reply. The first round through the servers has no delay; later rounds double it, with
 * jitter.
 */

import { Link, LinkedList } from "../core/collections/queues.js";
import type { ShoalError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { costOf } from "../core/memory.js";
import { backOff } from "../core/timers.js";
import { ignore } from "../core/waiter.js";
import { engineStats, lastFailure } from "../sockets/internal.js";
import { Request, type RequestOptions } from "../sockets/request-reply.js";
import type { REQUEST_CLIENT } from "../statistics/patterns.js";
import type { StatisticsOf } from "../statistics/rows.js";
import type { BodyFor, BodyOf, BodyShape } from "./body.js";
import { CALL_LIMITS, CALL_OPTIONS, type PendingCall, PendingCalls } from "./calls.js";
import { Driver, type PatternWaitOptions } from "./driver.js";
import { EndpointChooser } from "./endpoint-chooser.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type PatternEndpoints } from "./endpoint-list.js";
import { lateError, ServiceError } from "./errors.js";
import { checkOptions, type Given, integer, object, type Settings } from "./options.js";
import { connected, WITHOUT_LIMIT } from "./sockets.js";

export function requestClientOptions(defaults: {
  readonly timeout: number;
  readonly attemptTimeout: number;
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
}) {
  return {
    /** ms for a whole call; -1: only attempts are limited. */
    timeout: integer({ default: defaults.timeout, min: -1 }),
    /** ms per attempt. */
    attemptTimeout: integer({ default: defaults.attemptTimeout }),
    /** ms before a server is retried; doubled each round, half of it random. 0: no delay. */
    retryDelay: integer({ default: defaults.retryDelay, min: 0 }),
    maxRetryDelay: integer({ default: defaults.maxRetryDelay }),
    ...CALL_LIMITS,
    /** Options of the REQ sockets, such as security. */
    socketOptions: object<RequestOptions>(["codec"]),
  };
}

type RequestClientSettings = Settings<ReturnType<typeof requestClientOptions>>;

const REQUEST_OPTIONS = {
  ...CALL_OPTIONS,
  /** ms for the whole call; -1: only attempts are limited. Default: the client's. */
  timeout: integer({ min: -1 }),
  /** ms per attempt. Default: the client's. */
  attemptTimeout: integer(),
  /** Default: the client's. */
  retries: integer({ min: 0 }),
};

export type RequestCallOptions = Given<typeof REQUEST_OPTIONS>;

/** Why an attempt ended; `stopping`: its server closes or drains. */
export type RetryReason = "timeout" | "disconnected" | "stopping";

const EVENTS = {
  /** `attempt` is from 1; the next one comes in `delay` ms. */
  "request:retried": event<{
    readonly endpoint: string;
    readonly reason: RetryReason;
    readonly attempt: number;
    readonly delay: number;
  }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

/** Events of a client that retries. */
export type RequestClientEvent = EventsOf<typeof EVENTS>;

/** Statistics: requests = replies + errors + failed + cancelled + pending. */
export type RequestClientStats = StatisticsOf<typeof REQUEST_CLIENT>;

/** A client's formats, and its use of servers. */
export interface RequestClientTerms<Req, Rep> {
  readonly requests: BodyShape<Req>;
  readonly replies: BodyShape<Rep>;
  /** Attempts after the first; may be infinite. */
  retries(servers: number): number;
  /** Whether a refused connection ends the attempt. */
  readonly failsFast: boolean;
  /** The error of a reply, if any. */
  errorOf(frames: Buffer[], endpoint: string): ShoalError | undefined;
}

interface Call {
  readonly frames: Buffer[];
  readonly attemptTimeout: number | undefined;
  readonly retries: number | undefined;
  readonly pending: PendingCall<never>;
}

export abstract class RequestClient<Req, Rep> extends Driver<RequestClientEvent, RequestClientStats> {
  readonly #list: EndpointList;
  readonly #chooser: EndpointChooser;
  readonly #settings: RequestClientSettings;
  readonly #terms: RequestClientTerms<Req, Rep>;
  readonly #calls: PendingCalls;
  readonly #waiting = new LinkedList<Call>();
  #call: Call | undefined;
  /** Attempts of the call. */
  #attempt = 0;
  #resting = false;
  /** Ends the attempt, or the delay after it. */
  #timer: NodeJS.Timeout | undefined;
  #socket: Request | undefined;
  /** The last failure of a closed socket; reset by a reply. */
  #lastFailure: ShoalError | undefined = undefined;
  /** Endpoint of `#socket`. */
  #connected = "";
  /** Sockets of calls of `ready`. */
  readonly #probes = new Set<Request>();
  readonly #counts = {
    requests: 0,
    replies: 0,
    errors: 0,
    failed: 0,
    cancelled: 0,
    attempts: 0,
    retries: 0,
  };

  /** @internal */
  protected constructor(
    name: string,
    endpoints: PatternEndpoints,
    settings: RequestClientSettings,
    terms: RequestClientTerms<Req, Rep>,
  ) {
    super(name, EVENTS);
    this.#list = new EndpointList(name, endpoints, { socket: () => new Request(settings.socketOptions) });
    this.#chooser = new EndpointChooser(this.#list.current);
    this.#settings = settings;
    this.#terms = terms;
    this.#calls = new PendingCalls(settings);
    for (const endpoint of [...this.#chooser.list].reverse()) this.#open(endpoint);
    this.#list.start((list) => this.#follow(list), this.events);
  }

  /** Empty while a source has no server. */
  get endpoint(): string {
    return this.#call !== undefined && this.#socket !== undefined
      ? this.#connected
      : (this.#chooser.upcoming ?? "");
  }

  /**
   * Sends a request to the server that replied last, and on failure to the next until one replies. Concurrent calls
   * queue. At-least-once: a server that did not reply may have handled the request.
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT`; ServiceError `ERR_SERVICE` when the server reports an error; AbortedError
   *   `ABORT_ERR`; InvalidMessageError `ERR_INVALID_MESSAGE` when a codec refuses the request or reply;
   *   InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`, or `EAGAIN` while draining or when it closes
   */
  request(body: BodyFor<Req>, options: RequestCallOptions = {}): Promise<BodyOf<Rep>> {
    try {
      const { timeout, attemptTimeout, retries, signal } = checkOptions(
        `${this.driverName}.request`,
        REQUEST_OPTIONS,
        options,
      );
      const frames = this.#terms.requests.encode(body);
      this.assertOpen();
      const limit = timeout ?? this.#settings.timeout;
      const pending = this.#calls.add<BodyOf<Rep>>(
        costOf(frames),
        { timeout: limit, signal, onGivenUp: (why) => this.#givenUp(link, why) },
        () => this.#late(`No reply came within ${limit} ms`),
      );
      const link = new Link<Call>({
        frames,
        attemptTimeout,
        retries,
        pending: pending as unknown as PendingCall<never>,
      });
      this.#counts.requests += 1;
      if (this.#call === undefined && this.#chooser.list.length > 0) this.#begin(link.value);
      else this.#waiting.push(link);
      return pending.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Settles when one of the servers accepts a connection.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.run(async () => {
      this.assertOpen();
      const current = this.#socket;
      if (current !== undefined && (engineStats(current).peers ?? 0) > 0)
        return this.whenConnected(current, options);
      const probe = new Request({ linger: 0, ...this.#settings.socketOptions });
      this.#probes.add(probe);
      try {
        this.#connect(probe, this.#chooser.list);
        await this.whenConnected(probe, options);
      } finally {
        this.#probes.delete(probe);
        void probe.close({ linger: 0 });
      }
    });
  }

  stats(): RequestClientStats {
    return { ...this.#counts, pending: this.#calls.size, pendingBytes: this.#calls.bytes };
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.#calls.idle();
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#list.stop();
    for (const probe of this.#probes) void probe.close({ linger: 0 });
    this.#counts.cancelled += this.#calls.size;
    this.#call = undefined;
    this.#stopTimer();
    this.#calls.close();
    await this.#abandon();
  }

  /** A request in flight finishes its attempt at its server. */
  #follow(list: readonly string[]): void {
    if (this.closed) return;
    const added = list.filter((endpoint) => !this.#chooser.list.includes(endpoint));
    for (const probe of this.#probes) this.#connect(probe, added);
    const isListed = this.#chooser.follow(list);
    if (this.#call === undefined) {
      if (!isListed) void this.#abandon();
      this.#next();
    } else if (this.#timer === undefined) this.#tryServer(this.#call);
    else if (this.#socket === undefined && !this.#resting) this.#send(this.#call);
  }

  #connect(probe: Request, endpoints: readonly string[]): void {
    for (const endpoint of endpoints) this.#list.connect(endpoint, () => probe.connect(endpoint));
  }

  #next(): void {
    this.#stopTimer();
    this.#call = undefined;
    if (this.closed || this.#chooser.list.length === 0) return;
    const call = this.#waiting.shift();
    if (call !== undefined) this.#begin(call);
  }

  #begin(call: Call): void {
    this.#call = call;
    this.#attempt = 0;
    this.#tryServer(call);
  }

  /** Without a server the call waits for the next list. */
  #tryServer(call: Call): void {
    this.#resting = false;
    this.#stopTimer();
    if (this.#chooser.list.length === 0) return;
    this.#attempt += 1;
    this.#after(call.attemptTimeout ?? this.#settings.attemptTimeout, () => this.#failed(call, "timeout"));
    this.#send(call);
  }

  /** Without a socket the attempt times out, or goes on with the next list. */
  #send(call: Call): void {
    const endpoint = this.#chooser.next();
    if (endpoint === undefined) return;
    this.#counts.attempts += 1;
    if (this.#socket === undefined || this.#connected !== endpoint) this.#open(endpoint);
    const socket = this.#socket;
    if (socket === undefined) return;
    try {
      // It stays queued in the socket until the attempt ends.
      if (!socket.trySend(call.frames)) socket.send(call.frames).catch(ignore);
    } catch (error) {
      // The request exceeds the context's byte limit. Many such calls must not nest.
      queueMicrotask(() => this.#refused(call, error as ShoalError));
      return;
    }
    // It can overtake a reply. A listener keeps the process alive.
    const onDisconnect = (): void =>
      void setImmediate(() => {
        if (this.#socket === socket && this.#call === call && !socket.readable)
          this.#failed(call, "disconnected");
      });
    socket.events.on("disconnect", onDisconnect);
    if (this.#terms.failsFast) socket.events.on("connect:retry", onDisconnect);
    socket.receive(WITHOUT_LIMIT).then((reply) => {
      if (this.#socket !== socket) return;
      socket.events.off("disconnect", onDisconnect).off("connect:retry", onDisconnect);
      this.#reply(call, reply);
    }, ignore);
  }

  #open(endpoint: string): void {
    void this.#abandon();
    this.#connected = endpoint;
    this.#list.connect(endpoint, () => {
      this.#socket = connected(new Request({ linger: 0, ...this.#settings.socketOptions }), endpoint);
    });
  }

  #abandon(): Promise<unknown> | undefined {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) this.#lastFailure = lastFailure(socket);
    socket?.events.close();
    return socket?.close({ linger: 0 });
  }

  #reply(call: Call, frames: Buffer[]): void {
    const { pending } = call;
    this.#lastFailure = undefined;
    let error = this.#terms.errorOf(frames, this.endpoint);
    if (error instanceof ServiceError && error.reason === "stopping") {
      this.#failed(call, "stopping", error);
      return;
    }
    this.#next();
    if (error === undefined) {
      try {
        pending.resolve(this.#terms.replies.decode(frames) as never);
        this.#counts.replies += 1;
        return;
      } catch (cause) {
        error = cause as ShoalError;
      }
    }
    this.#counts.errors += 1;
    pending.reject(error);
  }

  /** The next attempt is at the next server. */
  #failed(call: Call, reason: RetryReason, error?: ShoalError): void {
    this.#endAttempt();
    const attempt = this.#attempt;
    const { length } = this.#chooser.list;
    const servers = Math.max(1, length);
    if (length > 0 && attempt > (call.retries ?? this.#terms.retries(servers))) {
      this.#counts.failed += 1;
      const attempts = attempt === 1 ? "1 attempt" : `${attempt} attempts`;
      call.pending.reject(error ?? this.#late(`No reply came, ${attempts}`));
      this.#next();
      return;
    }
    const { retryDelay, maxRetryDelay } = this.#settings;
    const round = Math.floor(attempt / servers);
    // A server that stops may be back when a silent one would have been given up.
    const rest = reason === "stopping" ? (call.attemptTimeout ?? this.#settings.attemptTimeout) : 0;
    const delay =
      round === 0 ? 0 : Math.max(rest, backOff(round - 1, retryDelay, maxRetryDelay, Math.random));
    this.#counts.retries += 1;
    this.#resting = true;
    this.events.emit({ type: "request:retried", endpoint: this.#connected, reason, attempt, delay });
    // A listener may have ended the call.
    if (this.#call !== call) return;
    if (delay === 0) this.#tryServer(call);
    else this.#after(delay, () => this.#tryServer(call));
  }

  #endAttempt(): void {
    void this.#abandon();
    this.#chooser.failed();
  }

  #late(text: string): ShoalError {
    const cause = (this.#socket && lastFailure(this.#socket)) ?? this.#lastFailure;
    return lateError(text, this.#chooser.list, cause);
  }

  #refused(call: Call, error: ShoalError): void {
    if (this.#call !== call) return;
    void this.#abandon();
    this.#counts.errors += 1;
    call.pending.reject(error);
    this.#next();
  }

  /** A server that let the call time out may hang: the next call begins at the next one. */
  #givenUp(link: Link<Call>, why: "timeout" | "aborted"): void {
    if (why === "timeout") this.#counts.failed += 1;
    else this.#counts.cancelled += 1;
    link.unlink();
    if (this.#call !== link.value) return;
    if (why === "timeout" && !this.#resting) this.#endAttempt();
    else void this.#abandon();
    this.#next();
  }

  /** Queued messages are read first, after a pause of the process. */
  #after(ms: number, action: () => void): void {
    this.#stopTimer();
    const timer = setTimeout(() => {
      setImmediate(() => {
        if (this.#timer === timer) action();
      });
    }, ms);
    this.#timer = timer;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
