/**
 * Queue of the Pirates (6/PPP, Queue) and of the load balancer, which serves Simple Pirates only (the Guide's chapter
 * 3, lbbroker): clients' requests to the least recently used worker, and its replies back.
 *
 *   worker:  unknown --READY, or any sign of life--> idle --request--> busy
 *               ^                                     |  <---reply-----  |
 *               +------ silent, or its link lost -----+------------------+
 *                                              its request goes to another worker
 *
 * Busy workers are silent, as in the Guide: only idle ones send and get heartbeats, and a busy one is lost when its
 * connection ends.
 *
 * Deviations from the Guide's ppqueue: a heartbeat does not make a busy worker ready, which would give it a second
 * request; expired workers are removed first; a reply must match the worker's request.
 */

import { type EventsOf, event } from "../../core/event-stream.js";
import { keyOf } from "../../core/memory.js";
import { type BROKER_OPTIONS, type BrokerEffects, REPLY_DROPPED } from "./broker-driver.js";
import { Dispatcher, Job, type JobDropReason, reasonOf } from "./dispatcher.js";
import { errorReply } from "./errors.js";
import type { Settings } from "./options.js";
import {
  addressedFrames,
  type Dialect,
  heartbeatFrames,
  type Malformed,
  parseFromClient,
  parseFromWorker,
  replyFrames,
} from "./worker-protocol.js";

/** Why a worker was removed. */
export type PirateWorkerLeftReason =
  | "silent"
  | "disconnected"
  | "unreachable"
  /** READY with an open request: a restart. */
  | "restarted";

export const QUEUE_EVENTS = {
  "worker:joined": event<{ readonly worker: Buffer; readonly dialect: Dialect }>(),
  "worker:left": event<{ readonly worker: Buffer; readonly reason: PirateWorkerLeftReason }>(),
  "request:repeated": event<{ readonly client: Buffer; readonly deliveries: number }>(),
  "request:dropped": event<{ readonly client: Buffer; readonly reason: JobDropReason }>(),
  ...REPLY_DROPPED,
  "message:invalid": event<{
    readonly from: "client" | "worker";
    readonly routingId: Buffer;
    readonly reason: Malformed;
  }>(),
};

/** Events. Routing ids are bytes. */
export type PirateQueueEvent = EventsOf<typeof QUEUE_EVENTS>;

/**
 * Statistics: requests = replies + queued + busyWorkers + dropped, except requests of disconnected clients.
 */
export interface PirateQueueStats {
  readonly idleWorkers: number;
  readonly busyWorkers: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly requests: number;
  readonly replies: number;
  readonly dropped: Readonly<Record<JobDropReason, number>>;
  readonly lateReplies: number;
  /** Counted replies that their clients could not take. */
  readonly repliesDropped: number;
  readonly invalid: number;
  readonly workersLost: number;
  readonly repeated: number;
}

export interface QueueRulesOptions
  extends Pick<Settings<typeof BROKER_OPTIONS>, "maxQueue" | "maxQueueBytes" | "maxDeliveries"> {
  /** Default: both. */
  readonly dialect?: Dialect | undefined;
  /** ms between heartbeats. */
  readonly heartbeatInterval: number;
  /** Intervals of silence before an idle worker is lost. */
  readonly liveness: number;
}

interface Worker {
  readonly dialect: Dialect;
  /** Infinite for Simple Pirates, which have no heartbeat. */
  expiry: number;
}

export class QueueRules {
  readonly #options: QueueRulesOptions;
  readonly #effects: BrokerEffects<PirateQueueEvent>;
  readonly #dispatcher: Dispatcher;
  readonly #workers = new Map<string, Worker>();
  #now: number;
  #nextBeat: number;
  readonly #counters = { requests: 0, replies: 0, lateReplies: 0, invalid: 0, workersLost: 0, repeated: 0 };
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };

  constructor(options: QueueRulesOptions, effects: BrokerEffects<PirateQueueEvent>, now: number) {
    this.#options = options;
    this.#effects = effects;
    this.#now = now;
    this.#nextBeat = now + options.heartbeatInterval;
    this.#dispatcher = new Dispatcher(options, {
      deliver: (worker, job) => this.#deliver(worker, job),
      unreachable: (worker) => this.#lose(worker, "unreachable"),
      dropped: (job, reason) => this.#drop(job, reason),
    });
  }

  /** Others stay with their senders. */
  get room(): number {
    return this.#dispatcher.room();
  }

  get pending(): number {
    return this.#dispatcher.queued + this.#dispatcher.busy;
  }

  /** @param frames routing id first */
  clientMessage(frames: readonly Buffer[], now: number): void {
    this.#now = now;
    const command = parseFromClient(frames);
    if (command.kind === "invalid") {
      this.#invalid("client", frames[0] as Buffer, command.reason);
      return;
    }
    this.#counters.requests += 1;
    this.#dispatcher.accept(new Job(command.envelope, command.body));
  }

  workerMessage(from: Buffer, frames: readonly Buffer[], now: number): void {
    this.#now = now;
    const command = parseFromWorker(frames);
    if (command.kind === "invalid") {
      this.#invalid("worker", from, command.reason);
      return;
    }
    const dialect = command.kind === "heartbeat" ? "paranoid" : command.dialect;
    if ((this.#options.dialect ?? dialect) !== dialect) {
      this.#invalid("worker", from, "command");
      return;
    }
    switch (command.kind) {
      case "ready":
        if (this.#dispatcher.isBusy(from)) this.#lose(from, "restarted");
        this.#register(from, dialect);
        return;
      case "heartbeat":
        this.#alive(from, dialect);
        return;
      case "reply":
        this.#reply(from, dialect, command.address, command.body);
    }
  }

  workerLeft(worker: Buffer, now: number): void {
    this.#now = now;
    this.#lose(worker, "disconnected");
  }

  clientLeft(client: Buffer): void {
    this.#dispatcher.clientLeft(client);
  }

  tick(now: number): void {
    this.#now = now;
    if (now < this.#nextBeat) return;
    for (const worker of [...this.#dispatcher.idleWorkers()]) {
      const known = this.#workers.get(keyOf(worker)) as Worker;
      if (known.expiry <= now) this.#lose(worker, "silent");
      else if (known.dialect === "paranoid") this.#effects.toWorker([worker, ...heartbeatFrames()]);
    }
    this.#nextBeat = now + this.#options.heartbeatInterval;
  }

  /** Simple Pirates have no heartbeat. */
  nextWakeUp(): number | undefined {
    return this.#options.dialect === "simple" ? undefined : this.#nextBeat;
  }

  close(): void {
    this.#dispatcher.close();
  }

  stats(): Omit<PirateQueueStats, "repliesDropped"> {
    const { idle: idleWorkers, busy: busyWorkers, queued, queuedBytes } = this.#dispatcher;
    const dropped = { ...this.#dropped };
    return { ...this.#counters, idleWorkers, busyWorkers, queued, queuedBytes, dropped };
  }

  #deliver(id: Buffer, job: Job): boolean {
    const worker = this.#workers.get(keyOf(id)) as Worker;
    if (worker.expiry <= this.#now) return false;
    if (!this.#effects.toWorker([id, ...addressedFrames(worker.dialect, job.address, job.body)]))
      return false;
    if (job.deliveries > 1) {
      this.#counters.repeated += 1;
      this.#effects.event({
        type: "request:repeated",
        client: job.envelope[0] as Buffer,
        deliveries: job.deliveries,
      });
    }
    return true;
  }

  #reply(from: Buffer, dialect: Dialect, address: Buffer, body: readonly Buffer[]): void {
    const job = this.#dispatcher.complete(from, address);
    if (job !== undefined) {
      this.#counters.replies += 1;
      this.#effects.toClient(replyFrames(job.envelope, body));
      this.#register(from, dialect);
      return;
    }
    this.#counters.lateReplies += 1;
    // It is idle, even if unknown: it sends READY only after a silence (6/PPP).
    if (this.#dispatcher.isBusy(from)) return;
    if (this.#dispatcher.isIdle(from)) this.#alive(from, dialect);
    else this.#register(from, dialect);
  }

  /** A sign of life of an unknown worker counts as READY: a restarted queue knows its workers at once. */
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

  #invalid(from: "client" | "worker", routingId: Buffer, reason: Malformed): void {
    this.#counters.invalid += 1;
    this.#effects.event({ type: "message:invalid", from, routingId, reason });
  }

  /** The client gets an error reply if connected. */
  #drop({ envelope }: Job, reason: JobDropReason): void {
    this.#dropped[reason] += 1;
    this.#effects.event({ type: "request:dropped", client: envelope[0] as Buffer, reason });
    if (reason !== "client-left") this.#effects.toClient(replyFrames(envelope, errorReply(reasonOf(reason))));
  }

  #expiry(): number {
    return this.#now + this.#options.heartbeatInterval * this.#options.liveness;
  }
}
