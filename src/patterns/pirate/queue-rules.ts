/**
 * The queue of the Pirates (6/PPP, Queue): clients' requests to the least recently
 * used worker, and the workers' replies back.
 *
 *   worker:  unknown --READY, or any sign of life--> idle --request--> busy
 *               ^                                     |  <---reply-----  |
 *               +------ silent, or its link lost -----+------------------+
 *                                              its request goes to another worker
 *
 * A worker that works is silent, as the Guide's is, so only idle ones are expected to
 * beat, and only idle ones get beats. A busy one is gone when its connection is.
 *
 * Differs from the Guide's ppqueue, with a reason each: a heartbeat never makes a busy
 * worker ready (it would get a second request); an expired worker is looked at before
 * it is chosen and before it is beaten for, so none gets requests or beats; a reply is
 * matched with the request that the worker has, so a late one reaches nobody.
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

/** Why a worker is known no more. */
export type PirateWorkerLeftReason =
  /** It was idle and silent for `liveness` intervals. */
  | "silent"
  /** Its connection ended. */
  | "disconnected"
  /** It could not be reached when it was to get a request. */
  | "unreachable"
  /** It sent READY while it had a request: it has restarted. */
  | "restarted";

/** What happens in a queue. Routing ids are bytes, not text. */
export type PirateQueueEvent =
  | { readonly type: "worker:joined"; readonly worker: Buffer; readonly dialect: Dialect }
  | { readonly type: "worker:left"; readonly worker: Buffer; readonly reason: PirateWorkerLeftReason }
  /** A request was given to another worker, since the one that had it was lost. */
  | { readonly type: "request:repeated"; readonly client: Buffer; readonly deliveries: number }
  | { readonly type: "request:dropped"; readonly client: Buffer; readonly reason: JobDropReason }
  /** A reply to a request that this worker does not have, or that nobody waits for. */
  | { readonly type: "reply:ignored"; readonly worker: Buffer }
  | ReplyDropped
  | {
      readonly type: "message:invalid";
      readonly from: "client" | "worker";
      readonly routingId: Buffer;
      readonly reason: Malformed;
    };

/** A queue's statistics: those of a load balancer and one more. */
export interface PirateQueueStats extends LoadBalancerStats {
  /** Deliveries beyond the first of a request. */
  readonly repeated: number;
}

/** What a queue's rules do to the world. */
export interface QueueEffects {
  /** @returns whether the worker is connected */
  request(worker: Buffer, dialect: Dialect, address: Buffer, body: readonly Buffer[]): boolean;
  heartbeat(worker: Buffer): void;
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  event(event: PirateQueueEvent): void;
}

/** What a queue's rules are bounded by. */
export interface QueueRulesOptions {
  /** ms between two heartbeats. */
  readonly heartbeatInterval: number;
  /** Intervals of silence after which an idle Paranoid worker is lost. */
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
  /** The time that the call in progress was given. */
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

  /** How many more requests it takes now; the others stay with their senders. */
  get room(): number {
    return this.#dispatcher.room();
  }

  /** Requests that have been accepted and not answered. */
  get pending(): number {
    return this.#dispatcher.queued + this.#dispatcher.busy;
  }

  /** A client's request. */
  request(envelope: readonly Buffer[], body: readonly Buffer[], now: number): void {
    this.#now = now;
    this.#counters.requests += 1;
    this.#dispatcher.accept(createJob(envelope, body));
  }

  /** Anything from a worker. */
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

  /** A message that the protocol does not allow. */
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

  /** The dead are buried first: no beat goes to a worker that has expired. */
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

  /** Ends all requests that wait. */
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
    // A worker that has replied is free, also to a queue that knows it no more: it will not send READY (6/PPP has it do so
    // after a silence only). One that still has a request of ours is not.
    if (this.#dispatcher.isBusy(from)) return;
    if (this.#dispatcher.isIdle(from)) this.#alive(from, dialect);
    else this.#register(from, dialect);
  }

  /** A sign of life; of an unknown worker it is as good as READY: so a restarted queue knows its workers at once. */
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
