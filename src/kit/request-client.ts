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
import { type ShoalError, TimeoutError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { costOf } from "../core/memory.js";
import { backOff } from "../core/timers.js";
import { IdleWaits, ignore, sleep, withTimeout } from "../core/waiter.js";
import { Request, type RequestOptions } from "../sockets/request-reply.js";
import { CORE } from "../sockets/socket.js";
import type { REQUEST_CLIENT } from "../statistics/patterns.js";
import type { StatisticsOf } from "../statistics/rows.js";
import type { BodyFor, BodyOf, BodyShape } from "./body.js";
import { CALL_LIMITS, CALL_OPTIONS, type PendingCall, PendingCalls } from "./calls.js";
import { Driver, type PatternWaitOptions } from "./driver.js";
import { EndpointChooser } from "./endpoint-chooser.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type PatternEndpoints } from "./endpoint-list.js";
import { lateError, ServiceError } from "./errors.js";
import { checkOptions, type Given, integer, object, type Settings } from "./options.js";
import { connected } from "./sockets.js";

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
  readonly attemptTimeout: number;
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
  /** Of the delay before the next attempt. */
  #delay: AbortController | undefined;
  /** Ends when there is another list, or the call is over. */
  readonly #changed = new IdleWaits();
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
      const given = checkOptions(`${this.driverName}.request`, REQUEST_OPTIONS, options);
      const { timeout = this.#settings.timeout, signal, retries } = given;
      const { attemptTimeout = this.#settings.attemptTimeout } = given;
      const frames = this.#terms.requests.encode(body);
      this.assertOpen();
      const pending = this.#calls.add<BodyOf<Rep>>(
        costOf(frames),
        { timeout, signal, onGivenUp: (why) => this.#givenUp(link, why) },
        () => this.#late(`No reply came within ${timeout} ms`),
      );
      const link = new Link<Call>({
        frames,
        attemptTimeout,
        retries,
        pending: pending as unknown as PendingCall<never>,
      });
      this.#counts.requests += 1;
      this.#waiting.push(link);
      if (this.#call === undefined) void this.#work();
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
      if (current !== undefined && (current[CORE].engine.stats().peers ?? 0) > 0)
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
    this.#calls.close();
    this.#delay?.abort();
    this.#changed.end();
    await this.#abandon();
  }

  /** A request in flight finishes its attempt at its server. */
  #follow(list: readonly string[]): void {
    if (this.closed) return;
    const added = list.filter((endpoint) => !this.#chooser.list.includes(endpoint));
    for (const probe of this.#probes) this.#connect(probe, added);
    const isListed = this.#chooser.follow(list);
    if (this.#call === undefined && !isListed) void this.#abandon();
    this.#changed.end();
  }

  #connect(probe: Request, endpoints: readonly string[]): void {
    for (const endpoint of endpoints) this.#list.connect(endpoint, () => probe.connect(endpoint));
  }

  async #work(): Promise<void> {
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      this.#call = call;
      await this.#serve(call);
    }
    this.#call = undefined;
  }

  /** Each attempt is at the next server. */
  async #serve(call: Call): Promise<void> {
    const { pending, attemptTimeout } = call;
    for (let attempt = 1; !pending.settled; attempt++) {
      const outcome = await this.#attempt(call);
      if (pending.settled) return;
      const isReply = typeof outcome !== "string";
      const error = isReply ? this.#settle(call, outcome) : undefined;
      if (isReply && error === undefined) return;
      const reason = isReply ? "stopping" : outcome;
      void this.#abandon();
      this.#chooser.failed();
      const { length } = this.#chooser.list;
      const servers = Math.max(1, length);
      if (length > 0 && attempt > (call.retries ?? this.#terms.retries(servers))) {
        this.#counts.failed += 1;
        const attempts = attempt === 1 ? "1 attempt" : `${attempt} attempts`;
        pending.reject(error ?? this.#late(`No reply came, ${attempts}`));
        return;
      }
      const { retryDelay, maxRetryDelay } = this.#settings;
      const round = Math.floor(attempt / servers);
      // A server that stops may be back when a silent one would have been given up.
      const rest = reason === "stopping" ? attemptTimeout : 0;
      const delay =
        round === 0 ? 0 : Math.max(rest, backOff(round - 1, retryDelay, maxRetryDelay, Math.random));
      this.#counts.retries += 1;
      this.events.emit({ type: "request:retried", endpoint: this.#connected, reason, attempt, delay });
      this.#delay = new AbortController();
      if (delay > 0 && !pending.settled) await sleep(delay, this.#delay.signal);
    }
  }

  /** Without a server the call waits for the next list; without a socket for that, or its time. */
  async #attempt(call: Call): Promise<Buffer[] | RetryReason> {
    const { pending, frames, attemptTimeout } = call;
    let endpoint = this.#chooser.next();
    for (; endpoint === undefined && !pending.settled; endpoint = this.#chooser.next())
      await this.#changed.wait(false);
    if (endpoint === undefined || pending.settled) return "timeout";
    this.#counts.attempts += 1;
    if (this.#socket === undefined || this.#connected !== endpoint) this.#open(endpoint);
    const socket = this.#socket;
    if (socket === undefined) {
      const isChanged = await withTimeout(this.#changed.wait(false), attemptTimeout);
      return isChanged && !pending.settled ? this.#attempt(call) : "timeout";
    }
    // It can overtake a reply. A listener keeps the process alive.
    const onDisconnect = (): void =>
      void setImmediate(() => {
        if (this.#socket === socket && this.#call === call && !socket.readable) void this.#abandon();
      });
    try {
      // It stays queued in the socket until the attempt ends.
      if (!socket.trySend(frames)) socket.send(frames).catch(ignore);
    } catch (error) {
      // The request exceeds the context's byte limit.
      this.#counts.errors += 1;
      void this.#abandon();
      pending.reject(error as ShoalError);
      return "disconnected";
    }
    socket.events.on("disconnect", onDisconnect);
    if (this.#terms.failsFast) socket.events.on("connect:retry", onDisconnect);
    try {
      return await socket.receive({ timeout: attemptTimeout });
    } catch (error) {
      return error instanceof TimeoutError ? "timeout" : "disconnected";
    } finally {
      socket.events.off("disconnect", onDisconnect).off("connect:retry", onDisconnect);
    }
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
    if (socket !== undefined) this.#lastFailure = socket[CORE].events.lastFailure;
    socket?.events.close();
    return socket?.close({ linger: 0 });
  }

  /** @returns the error of a server that stops: the call goes on */
  #settle({ pending }: Call, reply: Buffer[]): ShoalError | undefined {
    this.#lastFailure = undefined;
    let error = this.#terms.errorOf(reply, this.#connected);
    if (error instanceof ServiceError && error.reason === "stopping") return error;
    if (error === undefined) {
      try {
        pending.resolve(this.#terms.replies.decode(reply) as never);
        this.#counts.replies += 1;
        return undefined;
      } catch (cause) {
        error = cause as ShoalError;
      }
    }
    this.#counts.errors += 1;
    pending.reject(error);
    return undefined;
  }

  #late(text: string): ShoalError {
    const cause = this.#socket?.[CORE].events.lastFailure ?? this.#lastFailure;
    return lateError(text, this.#chooser.list, cause);
  }

  /** A server that let the call time out may hang: the next call begins at the next one. */
  #givenUp(link: Link<Call>, why: "timeout" | "aborted"): void {
    if (why === "timeout") this.#counts.failed += 1;
    else this.#counts.cancelled += 1;
    link.unlink();
    if (this.#call !== link.value) return;
    this.#delay?.abort();
    if (why === "timeout" && this.#socket !== undefined) this.#chooser.failed();
    void this.#abandon();
    this.#changed.end();
  }
}
