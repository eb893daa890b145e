/**
 * Two ROUTERs around kit/queue-rules.ts. Without heartbeats, a worker is lost when its connection ends; Pirates
 * (../pirate/) detect losses sooner.
 */

import { BROKER_OPTIONS, BrokerDriver } from "../../kit/broker-driver.js";
import {
  type PirateQueueEvent,
  type PirateQueueStats,
  QUEUE_EVENTS,
  QueueRules,
} from "../../kit/dispatcher.js";
import { checkOptions, type Given } from "../../kit/options.js";

/** Workers are Simple Pirates. */
const RULES = { dialect: "simple", heartbeatInterval: 1_000, liveness: 1 } as const;

/** Events. Routing ids are bytes. */
export type LoadBalancerEvent = PirateQueueEvent;

export type LoadBalancerStats = PirateQueueStats;

export type LoadBalancerOptions = Given<typeof BROKER_OPTIONS>;

/**
 * Gives each request to the least recently used worker, one at a time, so that work follows capacity.
 *
 * Clients send `"" | body…` as a REQ, or as a DEALER with many requests in flight. Workers are REQ sockets that send
 * READY first, or a `PirateWorker` of dialect `"simple"`.
 *
 * @example
 * ```ts
 * import { LoadBalancer, LoadBalancerClient } from "shoal/load-balancer";
 * import { PirateWorker } from "shoal/pirate";
 *
 * const broker = new LoadBalancer();
 * const client = new LoadBalancerClient(await broker.bind("frontend", "tcp://127.0.0.1:*"));
 * const backend = await broker.bind("backend", "tcp://127.0.0.1:*");
 * const worker = new PirateWorker(backend, ([body]) => `${body}!`, { dialect: "simple" });
 * console.log(String(await client.request("hello"))); // hello!
 * await client.close();
 * await Promise.all([worker.close(), broker.close()]);
 * ```
 */
export class LoadBalancer extends BrokerDriver<LoadBalancerEvent, LoadBalancerStats> {
  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: LoadBalancerOptions = {}) {
    const settings = checkOptions("LoadBalancer", BROKER_OPTIONS, options);
    super(
      "LoadBalancer",
      QUEUE_EVENTS,
      settings,
      RULES.heartbeatInterval,
      (effects, now) => new QueueRules({ ...settings, ...RULES }, effects, now),
    );
  }
}
