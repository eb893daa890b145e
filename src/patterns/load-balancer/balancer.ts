/** The load-balancing broker: two ROUTERs around rules.ts. */

import { BrokerDriver, type BrokerDriverOptions, type BrokerLinks } from "../kit/broker-driver.js";
import { numbers } from "../kit/options.js";
import { addressedFrames, parseFromClient, replyFrames } from "../pirate/protocol.js";
import { parseFromBalanced } from "./protocol.js";
import { type BalancerEvent, BalancerRules, type BalancerRulesOptions, type BalancerStats } from "./rules.js";

const DEFAULTS: BalancerRulesOptions = Object.freeze({ maxQueued: 1_000, maxDeliveries: 2 });

/** ms of a stall of this process that count: it has no timers that could mind. */
const MAX_STEP = 1_000;

/** Options of {@link LoadBalancer}. */
export interface LoadBalancerOptions extends BrokerDriverOptions {
  /** Requests that wait for a worker; past it clients are read no further. Default 1,000. */
  readonly maxQueued?: number;
  /** Workers that may be lost with one request in hand, until its client is told `worker-lost`. Default 2. */
  readonly maxDeliveries?: number;
}

/**
 * Gives each request to the worker that has been free the longest, one request to a
 * worker at a time: work goes where there is time for it, however long each takes.
 *
 * Clients send `"" | body…`, as REQ does, or a DEALER that sends many at once. Workers
 * are REQ sockets that say READY first, or a `PirateWorker` of the dialect `"simple"`.
 */
export class LoadBalancer extends BrokerDriver<BalancerEvent, BalancerStats> {
  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: LoadBalancerOptions = {}) {
    const { socketOptions, frontendOptions, backendOptions, gate, workerStallTimeout, ...given } = options;
    const settings = numbers("LoadBalancer", DEFAULTS, given);
    super(options, MAX_STEP, (links) => new DrivenBalancerRules(settings, links));
  }
}

/** The rules with their frames. */
class DrivenBalancerRules extends BalancerRules {
  constructor(options: BalancerRulesOptions, links: BrokerLinks<BalancerEvent>) {
    super(options, {
      request: (worker, address, body) =>
        links.toWorker([worker, ...addressedFrames("simple", address, body)]),
      reply: (envelope, body) => links.toClient(replyFrames(envelope, body)),
      event: (event) => links.event(event),
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
