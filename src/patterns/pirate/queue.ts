/** Pirate queue: two ROUTERs around kit/queue-rules.ts. */
import { BROKER_OPTIONS, BrokerDriver } from "../../kit/broker-driver.js";
import {
  type PirateQueueEvent,
  type PirateQueueStats,
  QUEUE_EVENTS,
  QueueRules,
} from "../../kit/dispatcher.js";
import { checkOptions, choice, type Given, integer } from "../../kit/options.js";

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
