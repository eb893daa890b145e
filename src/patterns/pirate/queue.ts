/** The Pirates' queue, and the Lazy Pirate client of it: kit/dispatcher.ts and kit/request-client.ts with options. */

import { BodyShape } from "../../kit/body.js";
import { BROKER_OPTIONS, BrokerDriver } from "../../kit/broker-driver.js";
import {
  type PirateQueueEvent,
  type PirateQueueStats,
  QUEUE_EVENTS,
  QueueRules,
} from "../../kit/dispatcher.js";
import type { PatternEndpoints } from "../../kit/endpoint-list.js";
import { parseErrorReply } from "../../kit/errors.js";
import { checkOptions, choice, codec, type Given, type GivenWithCodecs, integer } from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import type { Raw } from "../../sockets/message.js";

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
  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: PirateQueueOptions = {}) {
    const settings = checkOptions("PirateQueue", OPTIONS, options);
    super(
      "PirateQueue",
      QUEUE_EVENTS,
      settings,
      settings.heartbeatInterval,
      (effects, now) => new QueueRules(settings, effects, now),
    );
  }
}

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
