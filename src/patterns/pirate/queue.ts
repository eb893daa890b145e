/** The Pirates' queue, and the Lazy Pirate client of it: kit/dispatcher.ts and kit/request-client.ts with options. */

import { type EventsOf, event } from "../../core/event-stream.js";
import { BodyShape } from "../../kit/body.js";
import { BROKER_OPTIONS, BrokerDriver, type BrokerEffects, REPLY_DROPPED } from "../../kit/broker-driver.js";
import { Dispatcher, type DispatcherOptions, Job, reasonOf, WORKER_EVENTS } from "../../kit/dispatcher.js";
import type { PatternEndpoints } from "../../kit/endpoint-list.js";
import { errorReply, parseErrorReply } from "../../kit/errors.js";
import { checkOptions, choice, codec, type Given, type GivenWithCodecs, integer } from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import { type Malformed, parseFromClient, replyFrames } from "../../kit/worker-protocol.js";
import type { Raw } from "../../sockets/message.js";
import type { JobDropReason, PIRATE_QUEUE } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

// --- Rules -----------------------------------------------------------------------------------------------------------

const EVENTS = {
  ...WORKER_EVENTS,
  "request:dropped": event<{ readonly client: Buffer; readonly reason: JobDropReason }>(),
  ...REPLY_DROPPED,
  "message:invalid": event<{
    readonly from: "client" | "worker";
    readonly routingId: Buffer;
    readonly reason: Malformed;
  }>(),
};

/** Events. Routing ids are bytes. */
export type PirateQueueEvent = EventsOf<typeof EVENTS>;

/**
 * Statistics: requests = replies + queued + busyWorkers + dropped, except requests of disconnected clients.
 */
export type PirateQueueStats = StatisticsOf<typeof PIRATE_QUEUE>;

export interface QueueRulesOptions extends Omit<DispatcherOptions, "priorities" | "silence"> {
  /** ms between heartbeats. */
  readonly heartbeatInterval: number;
  /** Intervals of silence before an idle worker is lost. */
  readonly liveness: number;
}

/**
 * Queue of the Pirates (6/PPP, Queue) and of the load balancer, which serves Simple Pirates only (the Guide's chapter
 * 3, lbbroker): clients' requests to the least recently used worker, and its replies back.
 */
export class QueueRules extends Dispatcher {
  readonly #options: QueueRulesOptions;
  readonly #effects: BrokerEffects<PirateQueueEvent>;
  #nextBeat: number;
  readonly #counters = { requests: 0, replies: 0, invalid: 0 };
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };

  constructor(options: QueueRulesOptions, effects: BrokerEffects<PirateQueueEvent>, now: number) {
    super({ ...options, silence: options.heartbeatInterval * options.liveness }, effects);
    this.#options = options;
    this.#effects = effects;
    this.#nextBeat = now + options.heartbeatInterval;
  }

  /** @param frames routing id first */
  clientMessage(frames: readonly Buffer[], now: number): void {
    this.now = now;
    const command = parseFromClient(frames);
    if (command.kind === "invalid") {
      this.#invalid("client", frames[0] as Buffer, command.reason);
      return;
    }
    this.#counters.requests += 1;
    this.accept(new Job(command.envelope, command.body));
  }

  tick(now: number): void {
    this.now = now;
    if (now < this.#nextBeat) return;
    this.heartbeat();
    this.#nextBeat = now + this.#options.heartbeatInterval;
  }

  /** Simple Pirates have no heartbeat. */
  nextWakeUp(): number | undefined {
    return this.#options.dialect === "simple" ? undefined : this.#nextBeat;
  }

  stats(): Omit<PirateQueueStats, "repliesDropped"> {
    const { idle: idleWorkers, busy: busyWorkers, queued, queuedBytes } = this;
    const { lateReplies, workersLost, repeated } = this;
    const counters = { ...this.#counters, lateReplies, workersLost, repeated };
    return { ...counters, idleWorkers, busyWorkers, queued, queuedBytes, dropped: { ...this.#dropped } };
  }

  protected override answered({ envelope }: Job, body: readonly Buffer[]): void {
    this.#counters.replies += 1;
    this.#effects.toClient(replyFrames(envelope, body));
  }

  protected override malformed(worker: Buffer, reason: Malformed): void {
    this.#invalid("worker", worker, reason);
  }

  #invalid(from: "client" | "worker", routingId: Buffer, reason: Malformed): void {
    this.#counters.invalid += 1;
    this.#effects.event({ type: "message:invalid", from, routingId, reason });
  }

  /** The client gets an error reply if connected. */
  protected override dropped({ envelope }: Job, reason: JobDropReason): void {
    this.#dropped[reason] += 1;
    this.#effects.event({ type: "request:dropped", client: envelope[0] as Buffer, reason });
    if (reason !== "client-left") this.#effects.toClient(replyFrames(envelope, errorReply(reasonOf(reason))));
  }
}

// --- Queue -----------------------------------------------------------------------------------------------------------

const OPTIONS = {
  ...BROKER_OPTIONS,
  /** Only dialect to serve. Default: both. */
  dialect: choice(["simple", "paranoid"]),
  /** ms between heartbeats to an idle worker; the same on both sides. Default 1,000. */
  heartbeatInterval: integer({ default: 1_000 }),
  /** Intervals of silence before an idle worker is lost. Default 3. */
  liveness: integer({ default: 3 }),
};

export type PirateQueueOptions = Given<typeof OPTIONS>;

/**
 * Sends clients' requests to the least recently used worker, and replies back. Serves Simple Pirates (REQ workers)
 * and Paranoid Pirates (DEALER workers with heartbeats, 6/PPP) at once, recognized by their first message.
 *
 * A lost worker's request goes to another. The queue detects an idle worker's death by heartbeats, and a busy one's
 * by the end of its connection. A stopped or hanging worker is detected by the `heartbeatTimeout` of
 * `backendOptions`.
 *
 * Clients send `"" | body…`, as REQ does.
 *
 * @example
 * ```ts
 * import { PirateClient, PirateQueue, PirateWorker } from "shoal/pirate";
 *
 * const queue = new PirateQueue();
 * const client = new PirateClient(await queue.bind("frontend", "tcp://127.0.0.1:*"), { retries: 2 });
 * const backend = await queue.bind("backend", "tcp://127.0.0.1:*");
 * const worker = new PirateWorker(backend, ([body]) => String(body).toUpperCase());
 * console.log(String(await client.request("ahoy"))); // AHOY
 * await client.close();
 * await Promise.all([worker.close(), queue.close()]);
 * ```
 */
export class PirateQueue extends BrokerDriver<PirateQueueEvent, PirateQueueStats> {
  /**
   * @param name internal: of a derived class
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(options: PirateQueueOptions = {}, name = "PirateQueue") {
    const settings = checkOptions(name, OPTIONS, options);
    super(
      name,
      EVENTS,
      settings,
      settings.heartbeatInterval,
      (effects, now) => new QueueRules(settings, effects, now),
    );
  }
}

// --- Client ----------------------------------------------------------------------------------------------------------

const CLIENT_OPTIONS = {
  ...requestClientOptions({ timeout: -1, attemptTimeout: 2_500, retryDelay: 100, maxRetryDelay: 5_000 }),
  /** Attempts after the first, each at the next server. Default 2. */
  retries: integer({ default: 2, min: 0 }),
  requestCodec: codec(),
  replyCodec: codec(),
};

/** Times in ms; defaults: `timeout` -1, `attemptTimeout` 2,500, `retryDelay` 100, `maxRetryDelay` 5,000. */
export type PirateClientOptions<Req = Raw, Rep = Raw> = GivenWithCodecs<typeof CLIENT_OPTIONS, Req, Rep>;

/**
 * Asks one of several servers, and retries, elsewhere if possible, without a reply. Works with any REP or a Pirate
 * queue.
 *
 * One request is in flight at a time; further calls queue. A server may handle a request more than once, since failed
 * attempts are not revoked.
 * {@link PirateQueue} has an example.
 */
export class PirateClient<Req = Raw, Rep = Raw> extends RequestClient<Req, Rep> {
  /**
   * @param endpoints servers in order of preference; the one that replied last goes first. Or a source: calls wait
   *   while it is empty
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: PirateClientOptions<Req, Rep> = {}) {
    const settings = checkOptions("PirateClient", CLIENT_OPTIONS, options);
    super("PirateClient", endpoints, settings, {
      requests: new BodyShape(options.requestCodec),
      replies: new BodyShape(options.replyCodec),
      retries: () => settings.retries,
      // A starting queue refuses connections for a while.
      failsFast: false,
      errorOf: parseErrorReply,
    });
  }
}
