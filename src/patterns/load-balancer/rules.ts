/**
 * The load-balancing broker (the Guide's chapter 3, lbbroker): each request to the
 * worker that has been free the longest, one at a time.
 *
 * There are no heartbeats: a worker is gone when its connection is, and what it had in
 * hand goes to another. Pirates (../pirate/) find out sooner, and over any network.
 */

import type { ReplyDropped } from "../kit/broker-driver.js";
import { Accounts, type BalancerStats } from "../kit/broker-stats.js";
import { createJob, Dispatcher, type JobDropReason } from "../kit/dispatcher.js";
import type { Malformed } from "../pirate/protocol.js";
import type { BalancedCommand } from "./protocol.js";

export type { BalancerStats } from "../kit/broker-stats.js";

/** What happens in a load balancer. Routing ids are bytes, not text. */
export type BalancerEvent =
  | { readonly type: "worker:ready"; readonly worker: Buffer }
  | { readonly type: "worker:lost"; readonly worker: Buffer; readonly reason: "left" | "unreachable" }
  | { readonly type: "request:dropped"; readonly client: Buffer; readonly reason: JobDropReason }
  | { readonly type: "reply:late"; readonly worker: Buffer }
  | ReplyDropped
  | {
      readonly type: "invalid";
      readonly from: "client" | "worker";
      readonly routingId: Buffer;
      readonly reason: Malformed;
    };

/** What a load balancer's rules do to the world. */
export interface BalancerOutbox {
  /** @returns whether the worker is connected */
  request(worker: Buffer, address: Buffer, body: readonly Buffer[]): boolean;
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  event(event: BalancerEvent): void;
}

/** What bounds a load balancer. */
export interface BalancerRulesOptions {
  readonly maxQueued: number;
  readonly maxDeliveries: number;
}

export class BalancerRules {
  readonly #outbox: BalancerOutbox;
  readonly #dispatcher: Dispatcher;
  readonly #accounts = new Accounts();

  constructor(options: BalancerRulesOptions, outbox: BalancerOutbox) {
    this.#outbox = outbox;
    this.#dispatcher = new Dispatcher(options, {
      deliver: (worker, job) => outbox.request(worker, job.address, job.body),
      unreachable: (worker) => this.#lose(worker, "unreachable"),
      dropped: (job, reason) => this.#accounts.drop(job, reason, outbox),
    });
  }

  /** How many more requests it takes now; the others stay with their senders. */
  get room(): number {
    return this.#dispatcher.room();
  }

  /** Requests accepted and not answered. */
  get pending(): number {
    return this.#dispatcher.queued + this.#dispatcher.busy;
  }

  request(envelope: readonly Buffer[], body: readonly Buffer[]): void {
    this.#accounts.requests += 1;
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
        this.#accounts.replies += 1;
        this.#outbox.reply(job.envelope, command.body);
      } else {
        this.#accounts.lateReplies += 1;
        this.#outbox.event({ type: "reply:late", worker: from });
        // It still has a request of ours, or stands in line already.
        if (this.#dispatcher.isBusy(from) || this.#dispatcher.isIdle(from)) return;
      }
    }
    if (!known) this.#outbox.event({ type: "worker:ready", worker: from });
    this.#dispatcher.ready(from);
  }

  /** A message that is none of the protocol's. */
  invalid(from: "client" | "worker", routingId: Buffer, reason: Malformed): void {
    this.#accounts.invalid += 1;
    this.#outbox.event({ type: "invalid", from, routingId, reason });
  }

  workerLeft(worker: Buffer): void {
    this.#lose(worker, "left");
  }

  clientLeft(client: Buffer): void {
    this.#dispatcher.clientLeft(client);
  }

  tick(): void {}

  /** It needs no time. */
  nextWakeUp(): undefined {
    return undefined;
  }

  /** Ends all requests that wait or are in hand. */
  close(): void {
    this.#dispatcher.close();
  }

  stats(): Omit<BalancerStats, "repliesDropped"> {
    return this.#accounts.of(this.#dispatcher);
  }

  #lose(worker: Buffer, reason: "left" | "unreachable"): void {
    // One that turned out to be unreachable is on no list any more.
    if (!this.#dispatcher.lost(worker) && reason === "left") return;
    this.#accounts.workersLost += 1;
    this.#outbox.event({ type: "worker:lost", worker, reason });
  }
}
