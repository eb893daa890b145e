/** The Lazy Pirate client: a client that retries, with the Pirates' error replies. */
import type { EventNames } from "../../core/event-stream.js";
import type { Codec } from "../../sockets/codec.js";
import type { Raw } from "../../sockets/shape.js";
import { BodyShape } from "../kit/body.js";
import {
  ENDPOINT_SOURCE_EVENTS,
  type EndpointSourceEvent,
  type PatternEndpoints,
} from "../kit/endpoint-list.js";
import { parseErrorReply } from "../kit/errors.js";
import { anything, checkOptions, integer } from "../kit/options.js";
import {
  RequestClient,
  type RequestClientOptions,
  type RequestClientStats,
  type RequestRetried,
  requestClientOptions,
} from "../kit/request-client.js";

const OPTIONS = {
  ...requestClientOptions({ timeout: -1, attemptTimeout: 2_500, retryDelay: 100, maxRetryDelay: 5_000 }),
  retries: integer({ default: 2, min: 0 }),
  requestCodec: anything<Codec<never>>(),
  replyCodec: anything<Codec<never>>(),
};

const EVENTS: EventNames<PirateClientEvent> = { "request:retried": true, ...ENDPOINT_SOURCE_EVENTS };

/**
 * Options of {@link PirateClient}. Times are in ms: `timeout` -1, `attemptTimeout` 2,500, `retryDelay` 100 and
 * `maxRetryDelay` 5,000 by default.
 */
export interface PirateClientOptions<Req = Raw, Rep = Raw> extends RequestClientOptions {
  /** Further attempts after the first, each at the next server of the list. Default 2. */
  readonly retries?: number | undefined;
  /** Encodes a request, as one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req> | undefined;
  /** Decodes a reply, of one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep> | undefined;
}

/** What happens in a client. */
export type PirateClientEvent = RequestRetried | EndpointSourceEvent;

/** A client's statistics. */
export type PirateClientStats = RequestClientStats;

/**
 * Asks one of several servers, and tries again, elsewhere if it can, when no reply
 * comes. Works with any REP, or with a queue of the Pirates.
 *
 * One request is under way at a time; further calls wait their turn. A server may
 * handle a request more than once: that of the attempt before is not called back.
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
export class PirateClient<Req = Raw, Rep = Raw> extends RequestClient<
  Req,
  Rep,
  PirateClientEvent,
  PirateClientStats
> {
  /**
   * @param endpoints servers, tried in this order; the one that answered last is asked first. Or a source of them: a request
   *   under way keeps its server for the time of its attempt, the next one goes elsewhere; calls wait while there is none
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: PirateClientOptions<Req, Rep> = {}) {
    const settings = checkOptions("PirateClient", OPTIONS, options);
    super("PirateClient", EVENTS, endpoints, settings, {
      requests: new BodyShape(options.requestCodec),
      replies: new BodyShape(options.replyCodec),
      retries: () => settings.retries,
      // A queue that is about to start refuses a while: its time is that of the attempt.
      failsFast: false,
      errorOf: parseErrorReply,
    });
  }

  stats(): PirateClientStats {
    return this.requestStats();
  }

  /** @internal */
  protected onSourceEvent(event: EndpointSourceEvent): void {
    this.events.emit(event);
  }

  /** @internal */
  protected onRetry(event: RequestRetried): void {
    this.events.emit(event);
  }
}
