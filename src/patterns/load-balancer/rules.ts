/**
 * Load-balancing broker (the Guide's chapter 3, lbbroker): each request goes to the least recently used worker, one
 * at a time.
 *
 * Without heartbeats, a worker is lost when its connection ends, and its request goes to another. Pirates
 * (../pirate/) detect losses sooner, and on any network.
 */

import type { ReplyDropped } from "../kit/broker-driver.js";
import {
  BrokerCounters,
  createJob,
  Dispatcher,
  type JobDropReason,
  type LoadBalancerStats,
} from "../kit/dispatcher.js";

import type { BalancedCommand, Malformed } from "../kit/worker-protocol.js";

export type { LoadBalancerStats } from "../kit/dispatcher.js";

/** Events. Routing ids are bytes, not text. */
export type LoadBalancerEvent =
  | { readonly type: "worker:joined"; readonly worker: Buffer }
  | { readonly type: "worker:left"; readonly worker: Buffer; readonly reason: "disconnected" | "unreachable" }
  | { readonly type: "request:dropped"; readonly client: Buffer; readonly reason: JobDropReason }
  | { readonly type: "reply:ignored"; readonly worker: Buffer }
  | ReplyDropped
  | {
      readonly type: "message:invalid";
      readonly from: "client" | "worker";
      readonly routingId: Buffer;
      readonly reason: Malformed;
    };

export interface LoadBalancerEffects {
  /** @returns whether the worker is connected */
  request(worker: Buffer, address: Buffer, body: readonly Buffer[]): boolean;
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  event(event: LoadBalancerEvent): void;
}

export interface LoadBalancerRulesOptions {
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  readonly maxDeliveries: number;
}

export class LoadBalancerRules {
  readonly #effects: LoadBalancerEffects;
  readonly #dispatcher: Dispatcher;
  readonly #counters = new BrokerCounters();

  constructor(options: LoadBalancerRulesOptions, effects: LoadBalancerEffects) {
    this.#effects = effects;
    this.#dispatcher = new Dispatcher(options, {
      deliver: (worker, job) => effects.request(worker, job.address, job.body),
      unreachable: (worker) => this.#lose(worker, "unreachable"),
      dropped: (job, reason) => this.#counters.drop(job, reason, effects),
    });
  }

  /** Requests that fit now; others stay with their senders. */
  get room(): number {
    return this.#dispatcher.room();
  }

  /** Requests accepted and not answered. */
  get pending(): number {
    return this.#dispatcher.queued + this.#dispatcher.busy;
  }

  request(envelope: readonly Buffer[], body: readonly Buffer[]): void {
    this.#counters.requests += 1;
    this.#dispatcher.accept(createJob(envelope, body));
  }

  receive(from: Buffer, command: BalancedCommand): void {
    if (command.kind === "invalid") {
      this.invalid("worker", from, command.reason);
      return;
    }
    const known = this.#dispatcher.isIdle(from) || this.#dispatcher.isBusy(from);
    if (command.kind === "reply") {
      const job = this.#dispatcher.complete(from, command.address);
      if (job !== undefined) {
        this.#counters.replies += 1;
        this.#effects.reply(job.envelope, command.body);
      } else {
        this.#counters.lateReplies += 1;
        this.#effects.event({ type: "reply:ignored", worker: from });
        // The worker has a request already, or is idle.
        if (this.#dispatcher.isBusy(from) || this.#dispatcher.isIdle(from)) return;
      }
    }
    if (!known) this.#effects.event({ type: "worker:joined", worker: from });
    this.#dispatcher.ready(from);
  }

  invalid(from: "client" | "worker", routingId: Buffer, reason: Malformed): void {
    this.#counters.invalid += 1;
    this.#effects.event({ type: "message:invalid", from, routingId, reason });
  }

  workerLeft(worker: Buffer): void {
    this.#lose(worker, "disconnected");
  }

  clientLeft(client: Buffer): void {
    this.#dispatcher.clientLeft(client);
  }

  tick(): void {}

  /** Needs no timer. */
  nextWakeUp(): undefined {
    return undefined;
  }

  close(): void {
    this.#dispatcher.close();
  }

  stats(): Omit<LoadBalancerStats, "repliesDropped"> {
    return this.#counters.of(this.#dispatcher);
  }

  #lose(worker: Buffer, reason: "disconnected" | "unreachable"): void {
    // An unreachable worker is already removed.
    if (!this.#dispatcher.lost(worker) && reason === "disconnected") return;
    this.#counters.workersLost += 1;
    this.#effects.event({ type: "worker:left", worker, reason });
  }
}
