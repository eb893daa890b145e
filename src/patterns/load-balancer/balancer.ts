/** Load-balancing broker: two ROUTERs around rules.ts. */

import type { EventNames } from "../../core/event-stream.js";
import { BROKER_OPTIONS, BrokerDriver, type BrokerEffects } from "../kit/broker-driver.js";
import { checkOptions, type Given } from "../kit/options.js";
import { addressedFrames, parseFromBalanced, parseFromClient, replyFrames } from "../kit/worker-protocol.js";

import {
  type LoadBalancerEvent,
  LoadBalancerRules,
  type LoadBalancerRulesOptions,
  type LoadBalancerStats,
} from "./rules.js";

export type LoadBalancerOptions = Given<typeof BROKER_OPTIONS>;

const EVENTS: EventNames<LoadBalancerEvent> = {
  "worker:joined": true,
  "worker:left": true,
  "request:dropped": true,
  "reply:ignored": true,
  "reply:dropped": true,
  "message:invalid": true,
};

/** ms of a pause of this process that count; there are no timers to disturb. */
const MAX_STEP = 1_000;

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
    super("LoadBalancer", EVENTS, settings, MAX_STEP, (effects) => new DrivenRules(settings, effects));
  }
}

class DrivenRules extends LoadBalancerRules {
  constructor(options: LoadBalancerRulesOptions, effects: BrokerEffects<LoadBalancerEvent>) {
    super(options, {
      request: (worker, address, body) =>
        effects.toWorker([worker, ...addressedFrames("simple", address, body)]),
      reply: (envelope, body) => effects.toClient(replyFrames(envelope, body)),
      event: (event) => effects.event(event),
    });
  }

  clientMessage(frames: readonly Buffer[]): void {
    const command = parseFromClient(frames);
    if (command.kind === "request") this.request(command.envelope, command.body);
    else this.invalid("client", frames[0] as Buffer, command.reason);
  }

  workerMessage(from: Buffer, frames: readonly Buffer[]): void {
    this.receive(from, parseFromBalanced(frames));
  }
}
