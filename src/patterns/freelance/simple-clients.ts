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
import { BodyShape } from "../../kit/body.js";
import type { PendingCall } from "../../kit/calls.js";
import { DEALER_CLIENT_OPTIONS, DealerClient, DealerServer } from "../../kit/dealer-client.js";
import { ENDPOINT_SOURCE_EVENTS, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { ServiceError } from "../../kit/errors.js";
import { checkOptions, codec, type GivenWithCodec, integer } from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import type { MessageLike, Raw } from "../../sockets/message.js";
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
  ...DEALER_CLIENT_OPTIONS,
  /** Pending calls; more reject with `ERR_TOO_MANY_PENDING`. Default 1,000. */
  maxPending: integer({ default: 1_000 }),
  codec: codec(),
};

export type FreelanceShotgunClientOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

interface Call {
  readonly sequence: number;
  readonly message: MessageLike[];
  readonly pending: PendingCall<unknown>;
  readonly failed: Set<DealerServer>;
  /** Servers with the request on this connection. */
  readonly sent: Set<DealerServer>;
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
export class FreelanceShotgunClient<T = Raw> extends DealerClient<
  T,
  T,
  Call,
  DealerServer,
  FreelanceShotgunClientEvent,
  FreelanceShotgunClientStats
> {
  readonly #open = new Map<number, Call>();
  readonly #counts = { requests: 0, replies: 0, late: 0, invalid: 0 };
  #sequence = 0;

  /**
   * @param endpoints of the servers; or a source
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: FreelanceShotgunClientOptions<T> = {}) {
    const settings = checkOptions("FreelanceShotgunClient", OPTIONS, options);
    const shape = new BodyShape(options.codec);
    const terms = { requests: shape, replies: shape, Server: DealerServer };
    super("FreelanceShotgunClient", EVENTS, endpoints, settings, terms);
    this.start();
  }

  stats(): FreelanceShotgunClientStats {
    return { ...this.#counts, pending: this.calls.size, pendingBytes: this.calls.bytes };
  }

  /** @internal */
  protected override async onClose(): Promise<void> {
    this.#open.clear();
    await super.onClose();
  }

  protected override prepare(frames: Buffer[], pending: PendingCall<unknown>): Call {
    const sequence = ++this.#sequence;
    const message = [null, String(sequence), ...frames];
    return { sequence, message, pending, failed: new Set(), sent: new Set() };
  }

  protected override begin(call: Call): void {
    this.#open.set(call.sequence, call);
    this.#counts.requests += 1;
    for (const server of this.peers) this.#shoot(server, call);
  }

  protected override givenUp({ sequence }: Call): void {
    this.#open.delete(sequence);
  }

  protected override joined({ endpoint }: DealerServer): void {
    this.events.emit({ type: "server:joined", server: endpoint });
  }

  protected override left(server: DealerServer): void {
    this.events.emit({ type: "server:left", server: server.endpoint });
    for (const { sent } of this.#open.values()) sent.delete(server);
  }

  /** @internal Requests at removed servers are at the others, too, unless those have failed. */
  protected override proceed(server: DealerServer | undefined): void {
    for (const call of this.#open.values()) {
      if (server === undefined) this.#endFailed(call);
      else this.#shoot(server, call);
    }
  }

  protected override receive(server: DealerServer, frames: Buffer[]): void {
    const [delimiter, sequence, ...body] = frames;
    const number = sequence === undefined ? undefined : parseSequence(sequence);
    if (delimiter?.length !== 0 || number === undefined || body.length === 0) {
      this.#counts.invalid += 1;
      this.events.emit({ type: "message:invalid", server: server.endpoint, frames: frames.length });
      return;
    }
    const call = this.#open.get(number);
    if (call === undefined) this.#counts.late += 1;
    else if (errorTextOf(2, body) !== undefined) {
      call.failed.add(server);
      this.#endFailed(call);
    } else {
      this.#open.delete(number);
      this.#counts.replies += 1;
      this.settle(call, body);
    }
  }

  /** Once per connection. */
  #shoot(server: DealerServer, call: Call): void {
    if (server.isFull || call.pending.settled || call.sent.has(server)) return;
    try {
      if (this.trySend(server, call.message)) call.sent.add(server);
    } catch (error) {
      // The request exceeds the context's byte limit.
      this.#end(call, error as ShoalError);
    }
  }

  #endFailed(call: Call): void {
    if (this.peers.length === 0 || this.peers.some((server) => !call.failed.has(server))) return;
    this.#end(call, new ServiceError("worker-failed", "freelance", "every server's handler failed"));
  }

  #end(call: Call, error: ShoalError): void {
    this.#open.delete(call.sequence);
    call.pending.reject(error);
  }
}
