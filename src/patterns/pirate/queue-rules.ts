/**
 * Pirate queue (6/PPP, Queue): clients' requests to the least recently used worker, and its replies back.
 *
 *   worker:  unknown --READY, or any sign of life--> idle --request--> busy
 *               ^                                     |  <---reply-----  |
 *               +------ silent, or its link lost -----+------------------+
 *                                              its request goes to another worker
 *
 * Working workers are silent, as in the Guide, so only idle ones must send heartbeats and get them. A busy worker is
 * lost when its connection ends.
 *
 * Deviations from the Guide's ppqueue: a heartbeat does not make a busy worker ready, which would give it a second
 * request. Expired workers are removed before requests or heartbeats are sent. A reply must match the worker's
 * request, so late ones are ignored.
 */

import type { ReplyDropped } from "../kit/broker-driver.js";
import {
  BrokerCounters,
  createJob,
  Dispatcher,
  type Job,
  type JobDropReason,
  keyOf,
  type LoadBalancerStats,
} from "../kit/dispatcher.js";

import type { Dialect, Malformed, WorkerCommand } from "../kit/worker-protocol.js";

/** Why a worker was removed. */
export type PirateWorkerLeftReason =
  /** Idle and silent for `liveness` intervals. */
  | "silent"
  /** Its connection ended. */
  | "disconnected"
  /** Unreachable when it was to get a request. */
  | "unreachable"
  /** It sent READY while it had a request: it restarted. */
  | "restarted";

/** Events. Routing ids are bytes, not text. */
export type PirateQueueEvent =
  | { readonly type: "worker:joined"; readonly worker: Buffer; readonly dialect: Dialect }
  | { readonly type: "worker:left"; readonly worker: Buffer; readonly reason: PirateWorkerLeftReason }
  /** A lost worker's request went to another. */
  | { readonly type: "request:repeated"; readonly client: Buffer; readonly deliveries: number }
  | { readonly type: "request:dropped"; readonly client: Buffer; readonly reason: JobDropReason }
  /** Reply to an unknown or abandoned request. */
  | { readonly type: "reply:ignored"; readonly worker: Buffer }
  | ReplyDropped
  | {
      readonly type: "message:invalid";
      readonly from: "client" | "worker";
      readonly routingId: Buffer;
      readonly reason: Malformed;
    };

/** Load balancer statistics plus `repeated`. */
export interface PirateQueueStats extends LoadBalancerStats {
  /** Deliveries of a request after the first. */
  readonly repeated: number;
}

export interface QueueEffects {
  /** @returns whether the worker is connected */
  request(worker: Buffer, dialect: Dialect, address: Buffer, body: readonly Buffer[]): boolean;
  heartbeat(worker: Buffer): void;
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  event(event: PirateQueueEvent): void;
}

export interface QueueRulesOptions {
  /** ms between heartbeats. */
  readonly heartbeatInterval: number;
  /** Intervals of silence before an idle Paranoid worker is lost. */
  readonly liveness: number;
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  readonly maxDeliveries: number;
}

interface Worker {
  readonly dialect: Dialect;
  /** Infinite for Simple Pirates, which have no heartbeat. */
  expiry: number;
}

export class QueueRules {
  readonly #options: QueueRulesOptions;
  readonly #effects: QueueEffects;
  readonly #dispatcher: Dispatcher;
  readonly #workers = new Map<string, Worker>();
  /** Time of the current call. */
  #now: number;
  #nextBeat: number;
  #repeated = 0;
  readonly #counters = new BrokerCounters();

  constructor(options: QueueRulesOptions, effects: QueueEffects, now: number) {
    this.#options = options;
    this.#effects = effects;
    this.#now = now;
    this.#nextBeat = now + options.heartbeatInterval;
    this.#dispatcher = new Dispatcher(options, {
      deliver: (worker, job) => this.#deliver(worker, job),
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

  request(envelope: readonly Buffer[], body: readonly Buffer[], now: number): void {
    this.#now = now;
    this.#counters.requests += 1;
    this.#dispatcher.accept(createJob(envelope, body));
  }

  receive(from: Buffer, command: WorkerCommand, now: number): void {
    this.#now = now;
    switch (command.kind) {
      case "ready":
        if (this.#dispatcher.isBusy(from)) this.#lose(from, "restarted");
        this.#register(from, command.dialect);
        return;
      case "heartbeat":
        this.#alive(from, "paranoid");
        return;
      case "reply":
        this.#reply(from, command.dialect, command.address, command.body);
        return;
      case "invalid":
        this.invalid("worker", from, command.reason);
    }
  }

  invalid(from: "client" | "worker", routingId: Buffer, reason: Malformed): void {
    this.#counters.invalid += 1;
    this.#effects.event({ type: "message:invalid", from, routingId, reason });
  }

  workerLeft(worker: Buffer, now: number): void {
    this.#now = now;
    this.#lose(worker, "disconnected");
  }

  clientLeft(client: Buffer): void {
    this.#dispatcher.clientLeft(client);
  }

  /** Removes expired workers first, so that they get no heartbeat. */
  tick(now: number): void {
    this.#now = now;
    if (now < this.#nextBeat) return;
    for (const worker of [...this.#dispatcher.idleWorkers()]) {
      const known = this.#workers.get(keyOf(worker)) as Worker;
      if (known.expiry <= now) this.#lose(worker, "silent");
      else if (known.dialect === "paranoid") this.#effects.heartbeat(worker);
    }
    this.#nextBeat = now + this.#options.heartbeatInterval;
  }

  nextWakeUp(): number {
    return this.#nextBeat;
  }

  close(): void {
    this.#dispatcher.close();
    this.#workers.clear();
  }

  stats(): Omit<PirateQueueStats, "repliesDropped"> {
    return { ...this.#counters.of(this.#dispatcher), repeated: this.#repeated };
  }

  #deliver(id: Buffer, job: Job): boolean {
    const worker = this.#workers.get(keyOf(id)) as Worker;
    if (worker.expiry <= this.#now) return false;
    if (!this.#effects.request(id, worker.dialect, job.address, job.body)) return false;
    if (job.deliveries > 1) {
      this.#repeated += 1;
      this.#effects.event({ type: "request:repeated", client: clientOf(job), deliveries: job.deliveries });
    }
    return true;
  }

  #reply(from: Buffer, dialect: Dialect, address: Buffer, body: readonly Buffer[]): void {
    const job = this.#dispatcher.complete(from, address);
    if (job !== undefined) {
      this.#counters.replies += 1;
      this.#effects.reply(job.envelope, body);
    } else {
      this.#counters.lateReplies += 1;
      this.#effects.event({ type: "reply:ignored", worker: from });
    }
    // A worker that replied is idle, even if unknown: it sends READY only after a silence (6/PPP). A worker with a
    // request stays busy.
    if (this.#dispatcher.isBusy(from)) return;
    if (this.#dispatcher.isIdle(from)) this.#alive(from, dialect);
    else this.#register(from, dialect);
  }

  /**
   * Handles a sign of life. From an unknown worker it counts as READY, so a restarted queue knows its workers at
   * once.
   */
  #alive(id: Buffer, dialect: Dialect): void {
    const worker = this.#workers.get(keyOf(id));
    if (worker === undefined) this.#register(id, dialect);
    else if (worker.dialect === "paranoid") worker.expiry = this.#expiry();
  }

  #register(id: Buffer, dialect: Dialect): void {
    const key = keyOf(id);
    const expiry = dialect === "paranoid" ? this.#expiry() : Number.POSITIVE_INFINITY;
    const known = this.#workers.has(key);
    this.#workers.set(key, { dialect, expiry });
    if (!known) this.#effects.event({ type: "worker:joined", worker: id, dialect });
    this.#dispatcher.ready(id);
  }

  #lose(id: Buffer, reason: PirateWorkerLeftReason): void {
    if (!this.#workers.delete(keyOf(id))) return;
    this.#counters.workersLost += 1;
    this.#effects.event({ type: "worker:left", worker: id, reason });
    this.#dispatcher.lost(id);
  }

  #expiry(): number {
    return this.#now + this.#options.heartbeatInterval * this.#options.liveness;
  }
}

function clientOf(job: Job): Buffer {
  return job.envelope[0] as Buffer;
}
