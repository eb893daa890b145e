/**
 * Clients of the two models whose servers need no identity.
 *
 *   model 1, failover  asks the server that replied last, and the next one when that fails
 *   model 2, shotgun   sends each request to all servers and takes the first reply
 *
 *                      DEALER for each server:  "" | sequence | body…  ->   "" | sequence | reply…
 *
 * In model 2 a server that is not connected, or has a full queue, gets the pending requests in order once there is room.
 */
import type { ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { costOf } from "../../core/memory.js";
import { type BodyFor, type BodyOf, BodyShape } from "../../kit/body.js";
import {
  CALL_LIMITS,
  CALL_OPTIONS,
  type CallOptions,
  type PendingCall,
  PendingCalls,
} from "../../kit/calls.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { lateError, ServiceError } from "../../kit/errors.js";
import {
  checkOptions,
  codec,
  type GivenWithCodec,
  integer,
  object,
  type Settings,
} from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import { connected, OpenedSockets } from "../../kit/sockets.js";
import { lastFailure, whenWritable } from "../../sockets/internal.js";
import type { MessageLike, Raw } from "../../sockets/message.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { FREELANCE_SHOTGUN_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { errorTextOf, parseSequence, STOPPING } from "./protocol.js";

// --- Model 1, failover -----------------------------------------------------------------------------------------------

/** As many as the Guide's attempts at a single server. */
const ROUNDS = 3;

const FAILOVER_OPTIONS = {
  ...requestClientOptions({ timeout: -1, attemptTimeout: 1_000, retryDelay: 50, maxRetryDelay: 1_000 }),
  /** Attempts after the first, each at the next server. Default: three per server in total. */
  retries: integer({ min: 0 }),
  codec: codec(),
};

/** Times in ms; defaults: `timeout` -1, `attemptTimeout` 1,000, `retryDelay` 50, `maxRetryDelay` 1,000. */
export type FreelanceFailoverClientOptions<T = Raw> = GivenWithCodec<typeof FAILOVER_OPTIONS, T>;

/**
 * Asks the server that replied last, and the next when it times out, refuses or ends the connection. One request is
 * in flight at a time; it may be handled more than once.
 *
 * @example
 * ```ts
 * import { FreelanceFailoverClient, FreelanceServer } from "shoal/freelance";
 *
 * const server = new FreelanceServer(([n]) => String(Number(n) + 1), { model: 1 });
 * const client = new FreelanceFailoverClient([await server.bind("tcp://127.0.0.1:*")]);
 * console.log(String(await client.request("41"))); // 42
 * await client.close();
 * await server.close();
 * ```
 */
export class FreelanceFailoverClient<T = Raw> extends RequestClient<T, T> {
  /**
   * @param endpoints of the servers, in order of preference; or a source: calls wait while it is empty
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: FreelanceFailoverClientOptions<T> = {}) {
    const settings = checkOptions("FreelanceFailoverClient", FAILOVER_OPTIONS, options);
    const shape = new BodyShape(options.codec);
    super("FreelanceFailoverClient", endpoints, settings, {
      requests: shape,
      replies: shape,
      retries: (servers) => settings.retries ?? ROUNDS * servers - 1,
      failsFast: true,
      errorOf: (frames, endpoint) => {
        const text = errorTextOf(1, frames);
        const reason = text === STOPPING ? "stopping" : "worker-failed";
        return text === undefined ? undefined : new ServiceError(reason, endpoint, text);
      },
    });
  }
}

// --- Model 2, shotgun ------------------------------------------------------------------------------------------------

const EVENTS = {
  "server:joined": event<{ readonly server: string }>(),
  "server:left": event<{ readonly server: string }>(),
  /** A message that servers may not send. */
  "message:invalid": event<{ readonly server: string; readonly frames: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type FreelanceShotgunClientEvent = EventsOf<typeof EVENTS>;

export type FreelanceShotgunClientStats = StatisticsOf<typeof FREELANCE_SHOTGUN_CLIENT>;

const OPTIONS = {
  /** -1: no limit. Default 3,000. */
  timeout: integer({ default: 3_000, min: -1 }),
  ...CALL_LIMITS,
  /** Pending calls; more reject with `ERR_TOO_MANY_PENDING`. Default 1,000. */
  maxPending: integer({ default: 1_000 }),
  codec: codec(),
  /** Options of the sockets, such as security. */
  socketOptions: object<DealerOptions>(["codec"]),
};

export type FreelanceShotgunClientOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

interface Call<T> {
  readonly sequence: number;
  readonly message: MessageLike[];
  readonly failed: Set<Dealer>;
  /** Servers with the request on this connection. */
  readonly sent: Set<Dealer>;
  readonly pending: PendingCall<BodyOf<T>>;
}

interface Server {
  readonly server: string;
  readonly dealer: Dealer;
  isJoined: boolean;
  isFull: boolean;
}

/**
 * Asks all its servers at once and takes the first reply (the Guide's model 2). Needs no fail-over; each request is
 * handled by every connected server.
 *
 * @example
 * ```ts
 * import { FreelanceServer, FreelanceShotgunClient } from "shoal/freelance";
 *
 * const servers = ["a", "b"].map(() => new FreelanceServer(([n]) => String(Number(n) + 1), { model: 2 }));
 * const endpoints = await Promise.all(servers.map((server) => server.bind("tcp://127.0.0.1:*")));
 * const client = new FreelanceShotgunClient(endpoints); // Both work on it; the first reply counts.
 * console.log(String(await client.request("41"))); // 42
 * await client.close();
 * await Promise.all(servers.map((server) => server.close()));
 * ```
 */
export class FreelanceShotgunClient<T = Raw> extends Driver<
  FreelanceShotgunClientEvent,
  FreelanceShotgunClientStats
> {
  readonly #endpoints: EndpointList;
  readonly #settings: Settings<typeof OPTIONS>;
  readonly #servers: Server[] = [];
  readonly #shape: BodyShape<T>;
  readonly #pending: PendingCalls;
  readonly #calls = new Map<number, Call<T>>();
  readonly #counts = { requests: 0, replies: 0, late: 0, invalid: 0 };
  #sequence = 0;

  /**
   * @param endpoints of the servers; or a source
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: FreelanceShotgunClientOptions<T> = {}) {
    super("FreelanceShotgunClient", EVENTS);
    const settings = checkOptions("FreelanceShotgunClient", OPTIONS, options);
    this.#settings = settings;
    const socket = (): Dealer => new Dealer(settings.socketOptions);
    this.#endpoints = new EndpointList("FreelanceShotgunClient", endpoints, { socket });
    this.#pending = new PendingCalls(settings);
    this.#shape = new BodyShape(options.codec);
    const sockets = new OpenedSockets();
    for (const server of this.#endpoints.current) sockets.open(() => this.#connect(server));
    this.#endpoints.start((list) => this.#follow(list), this.events);
  }

  /** Requests at removed servers are at the others, too. */
  #follow(list: readonly string[]): void {
    if (this.closed) return;
    const wanted = new Set(list);
    for (const each of [...this.#servers]) {
      if (wanted.delete(each.server)) continue;
      this.#servers.splice(this.#servers.indexOf(each), 1);
      each.dealer.events.close();
      void each.dealer.close({ linger: 0 });
      if (each.isJoined) this.events.emit({ type: "server:left", server: each.server });
    }
    for (const server of wanted) this.#endpoints.connect(server, () => this.#connect(server));
    // The removed servers may have been the last ones.
    for (const [sequence, call] of this.#calls) this.#endFailed(sequence, call);
  }

  /**
   * Asks all servers and returns the first reply. Calls run concurrently.
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT`; ServiceError `ERR_SERVICE`: all servers' handlers failed
   * @throws AbortedError `ABORT_ERR`; InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidMessageError
   * `ERR_INVALID_MESSAGE` when the codec refuses the request or reply
   * @throws ClosedError `EBADF`; `EAGAIN` while draining or when it closes
   */
  request(body: BodyFor<T>, options: CallOptions = {}): Promise<BodyOf<T>> {
    try {
      const { timeout = this.#settings.timeout, signal } = checkOptions(
        "FreelanceShotgunClient.request",
        CALL_OPTIONS,
        options,
      );
      const frames = this.#shape.encode(body);
      this.assertOpen();
      const sequence = this.#sequence + 1;
      const terms = { timeout, signal, onGivenUp: () => this.#calls.delete(sequence) };
      const pending = this.#pending.add<BodyOf<T>>(costOf(frames), terms, () =>
        this.#late(`No reply came within ${timeout} ms`),
      );
      this.#sequence = sequence;
      const message = [null, String(sequence), ...frames];
      const call: Call<T> = {
        sequence,
        message,
        failed: new Set(),
        sent: new Set(),
        pending,
      };
      this.#calls.set(sequence, call);
      this.#counts.requests += 1;
      for (const server of this.#servers) this.#shoot(server, call);
      return pending.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Settles when a server is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenReached(
      this.#servers.some(({ isJoined }) => isJoined),
      options,
      () => this.#late(`No server was connected within ${options.timeout} ms`),
    );
  }

  stats(): FreelanceShotgunClientStats {
    return { ...this.#counts, pending: this.#pending.size, pendingBytes: this.#pending.bytes };
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.#pending.idle();
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#pending.close();
    this.#calls.clear();
    this.#endpoints.stop();
    for (const { dealer } of this.#servers) dealer.events.close();
    await Promise.all(this.#servers.map(({ dealer }) => dealer.close({ linger: 0 })));
  }

  #connect(server: string): Dealer {
    const { socketOptions } = this.#settings;
    const dealer = new Dealer({ linger: 0, ...socketOptions, immediate: true, receiveTimeout: -1 });
    const entry: Server = { server, dealer, isJoined: false, isFull: false };
    dealer.events.on("peer:join", () => {
      entry.isJoined = true;
      this.reached();
      this.events.emit({ type: "server:joined", server });
      this.#shootAll(entry);
    });
    dealer.events.on("peer:leave", () => {
      entry.isJoined = false;
      this.events.emit({ type: "server:left", server });
      for (const { sent } of this.#calls.values()) sent.delete(dealer);
    });
    connected(dealer, server);
    this.#servers.push(entry);
    void this.#read(dealer, server);
    return dealer;
  }

  #shootAll(server: Server): void {
    if (server.dealer.closed) return;
    for (const call of this.#calls.values()) this.#shoot(server, call);
  }

  /** Once per connection. */
  #shoot(server: Server, call: Call<T>): void {
    const { dealer, isFull } = server;
    if (isFull || call.pending.settled || call.sent.has(dealer)) return;
    try {
      if (dealer.trySend(call.message)) {
        call.sent.add(dealer);
        return;
      }
    } catch (error) {
      if (dealer.closed) return;
      // The request exceeds the context's byte limit.
      this.#calls.delete(call.sequence);
      call.pending.reject(error as ShoalError);
      return;
    }
    server.isFull = true;
    void whenWritable(dealer).then(() => {
      server.isFull = false;
      this.#shootAll(server);
    });
  }

  #late(text: string): ShoalError {
    const servers = this.#servers.map(({ server }) => server);
    const failures = this.#servers.map(({ dealer }) => lastFailure(dealer));
    const cause = failures.find((error) => error !== undefined);
    return lateError(text, servers, cause);
  }

  async #read(dealer: Dealer, server: string): Promise<void> {
    for await (const frames of dealer) {
      const [delimiter, sequence, ...body] = frames;
      const number = sequence === undefined ? undefined : parseSequence(sequence);
      if (delimiter?.length !== 0 || number === undefined || body.length === 0) {
        this.#counts.invalid += 1;
        this.events.emit({ type: "message:invalid", server, frames: frames.length });
      } else this.#reply(dealer, number, body);
    }
  }

  #endFailed(sequence: number, call: Call<T>): void {
    if (this.#servers.length === 0 || this.#servers.some(({ dealer }) => !call.failed.has(dealer))) return;
    this.#calls.delete(sequence);
    call.pending.reject(new ServiceError("worker-failed", "freelance", "every server's handler failed"));
  }

  #reply(dealer: Dealer, sequence: number, body: Buffer[]): void {
    const call = this.#calls.get(sequence);
    if (call === undefined) {
      this.#counts.late += 1;
      return;
    }
    if (errorTextOf(2, body) !== undefined) {
      call.failed.add(dealer);
      this.#endFailed(sequence, call);
      return;
    }
    this.#calls.delete(sequence);
    this.#counts.replies += 1;
    try {
      call.pending.resolve(this.#shape.decode(body));
    } catch (error) {
      call.pending.reject(error as ServiceError);
    }
  }
}
