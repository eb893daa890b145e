/**
 * Requests and workers of the brokers that give one request at a time to the least recently used worker. Pure.
 *
 *   request --> waiting --toWorker--> in flight --its reply--> answered
 *                  ^                     |
 *                  +---- worker lost ----+--> dropped, after `maxDeliveries`
 *
 *   worker:  unknown --READY, or any sign of life--> idle --request--> busy
 *               ^                                     |  <---reply-----  |
 *               +------ silent, or its link lost -----+------------------+
 *
 * Busy workers are silent, as in the Guide: only idle ones send and get heartbeats, and a busy one is lost when its
 * connection ends.
 *
 * Deviations from the Guide's ppqueue: a heartbeat does not make a busy worker ready, which would give it a second
 * request; expired workers are removed first; a reply must match the worker's request.
 */
import { Link, LinkedList } from "../core/collections/queues.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { costOf, keyOf } from "../core/memory.js";
import type { JobDropReason } from "../statistics/patterns.js";
import type { BROKER_OPTIONS, BrokerEffects } from "./broker-driver.js";
import type { FailureReason } from "./errors.js";
import type { Settings } from "./options.js";
import {
  type Addressed,
  addressedFrames,
  type Dialect,
  heartbeatFrames,
  type Malformed,
  parseFromWorker,
} from "./worker-protocol.js";

export class Job {
  /** Routing ids up to the delimiter, nearest first. */
  readonly envelope: readonly Buffer[];
  readonly body: readonly Buffer[];
  /** Cost of all frames (core/memory.ts). */
  readonly bytes: number;
  /**
   * Identifies the client to the worker; the reply repeats it. Workers keep exactly one frame (6/PPP; the Guide's
   * ppworker drops the rest), so that an envelope of several (a proxy's hop, a REQ request id) is joined.
   */
  readonly address: Buffer;
  /** Lower numbers go first, up to `MAX_IN_A_ROW`. */
  readonly priority: number;
  readonly link: Link<Job> = new Link<Job>(this);
  deliveries = 0;
  /** Holders drop it. */
  over = false;

  constructor(envelope: readonly Buffer[], body: readonly Buffer[], priority = 0) {
    this.envelope = envelope;
    this.body = body;
    this.bytes = costOf(envelope) + costOf(body);
    this.address = envelope.length === 1 ? (envelope[0] as Buffer) : Buffer.concat(envelope);
    this.priority = priority;
  }
}

export function reasonOf(reason: Exclude<JobDropReason, "client-left">): FailureReason {
  return reason === "deliveries" ? "worker-lost" : "stopping";
}

/** Why a worker was removed. */
export type PirateWorkerLeftReason =
  | "silent"
  | "disconnected"
  | "unreachable"
  /** READY with an open request: a restart. */
  | "restarted";

export const WORKER_EVENTS = {
  "worker:joined": event<{ readonly worker: Buffer; readonly dialect: Dialect }>(),
  "worker:left": event<{ readonly worker: Buffer; readonly reason: PirateWorkerLeftReason }>(),
  "request:repeated": event<{ readonly client: Buffer; readonly deliveries: number }>(),
};

type DispatcherEffects = Pick<BrokerEffects<EventsOf<typeof WORKER_EVENTS>>, "toWorker" | "event">;

/** Bounds of the queue are per priority. */
export interface DispatcherOptions
  extends Pick<Settings<typeof BROKER_OPTIONS>, "maxQueue" | "maxQueueBytes" | "maxDeliveries"> {
  /** Default 1. */
  readonly priorities?: number;
  /** Default: both. */
  readonly dialect?: Dialect | undefined;
  /** ms after which an idle Paranoid Pirate is lost. Default: no limit. */
  readonly silence?: number;
}

/** Idle, or with a request. */
class Worker {
  readonly key: string;
  id: Buffer;
  dialect: Dialect;
  /** Infinite for Simple Pirates, which have no heartbeat. */
  expiry = Number.POSITIVE_INFINITY;
  job: Job | undefined = undefined;
  readonly idleLink: Link<Worker> = new Link<Worker>(this);

  constructor(key: string, id: Buffer, dialect: Dialect) {
    this.key = key;
    this.id = id;
    this.dialect = dialect;
  }
}

/** Requests of the first priority in a row; then one of the others goes, which permanent load would starve. */
const MAX_IN_A_ROW = 8;

/** Routing ids of different sockets may collide. */
function clientKey(client: Buffer, priority: number): string {
  return `${priority} ${keyOf(client)}`;
}

export abstract class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #effects: DispatcherEffects;
  /** By priority. Requests of lost workers go in front. */
  readonly #waiting: LinkedList<Job>[] = [];
  readonly #lastFirst: readonly LinkedList<Job>[];
  #inARow = 0;
  readonly #waitingBytes: number[] = [];
  readonly #workers = new Map<string, Worker>();
  /** Least recently used first. */
  readonly #idle = new LinkedList<Worker>();
  readonly #byClient = new Map<string, Set<Job>>();
  #dispatching = false;
  protected draining = false;
  /** Time of the call in progress. */
  protected now = 0;
  lateReplies = 0;
  workersLost = 0;
  repeated = 0;

  constructor(options: DispatcherOptions, effects: DispatcherEffects) {
    this.#options = options;
    this.#effects = effects;
    for (let i = 0; i < (options.priorities ?? 1); i++) {
      this.#waiting.push(new LinkedList());
      this.#waitingBytes.push(0);
    }
    this.#lastFirst = this.#waiting.toReversed();
  }

  get room(): number {
    return this.roomOf(0);
  }

  get pending(): number {
    return this.queued + this.busy;
  }

  get queued(): number {
    return this.#waiting.reduce((sum, list) => sum + list.length, 0);
  }

  get idle(): number {
    return this.#idle.length;
  }

  get busy(): number {
    return this.#workers.size - this.#idle.length;
  }

  /** Separate bounds keep one priority from starving the others. One batch may exceed the bound of bytes. */
  roomOf(priority: number): number {
    const { maxQueue, maxQueueBytes } = this.#options;
    if ((this.#waitingBytes[priority] as number) >= maxQueueBytes) return 0;
    return Math.max(0, maxQueue - this.queuedOf(priority));
  }

  get queuedBytes(): number {
    return this.#waitingBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  queuedOf(priority: number): number {
    return this.#list(priority).length;
  }

  protected abstract answered(job: Job, body: readonly Buffer[]): void;
  protected abstract dropped(job: Job, reason: JobDropReason): void;
  protected abstract malformed(worker: Buffer, reason: Malformed): void;

  /** Callers check `room` first. */
  accept(job: Job): void {
    if (this.draining) {
      job.over = true;
      this.dropped(job, "closed");
      return;
    }
    const client = clientKey(job.envelope[0] as Buffer, job.priority);
    const jobs = this.#byClient.get(client);
    if (jobs === undefined) this.#byClient.set(client, new Set([job]));
    else jobs.add(job);
    this.#list(job.priority).push(job.link);
    this.#count(job, 1);
    this.dispatch();
  }

  /** @param frames without the routing id */
  workerMessage(from: Buffer, frames: readonly Buffer[], now: number): void {
    this.now = now;
    const command = parseFromWorker(frames);
    if (command.kind === "invalid") {
      this.malformed(from, command.reason);
      return;
    }
    const dialect = command.kind === "heartbeat" ? "paranoid" : command.dialect;
    if ((this.#options.dialect ?? dialect) !== dialect) {
      this.malformed(from, "command");
      return;
    }
    const worker = this.#workers.get(keyOf(from));
    if (command.kind === "ready") {
      if (worker?.job !== undefined) this.#lose(worker, "restarted");
      this.#ready(from, dialect);
      return;
    }
    if (command.kind === "reply") this.#reply(worker, command);
    // Any sign of life of an unknown worker counts as READY: a restarted queue knows its workers at once. A worker that
    // has replied is idle, and sends READY only after a silence (6/PPP).
    if (worker === undefined || (worker.job === undefined && !worker.idleLink.linked))
      this.#ready(from, dialect);
    else if (worker.dialect === "paranoid") worker.expiry = this.#expiry();
  }

  workerLeft(id: Buffer, now: number): void {
    this.now = now;
    const worker = this.#workers.get(keyOf(id));
    if (worker !== undefined) this.#lose(worker, "disconnected");
  }

  /** Sends heartbeats to idle workers, and removes silent ones. */
  heartbeat(): void {
    for (const worker of [...this.#idle]) {
      if (worker.expiry <= this.now) this.#lose(worker, "silent");
      else if (worker.dialect === "paranoid") this.#effects.toWorker([worker.id, ...heartbeatFrames()]);
    }
  }

  clientLeft(client: Buffer, priority = 0): void {
    const key = clientKey(client, priority);
    const jobs = this.#byClient.get(key);
    if (jobs === undefined) return;
    this.#byClient.delete(key);
    for (const job of jobs) this.#drop(job, "client-left");
  }

  /** Follow with `giveBack` or `end`. */
  shift(priority: number): Job | undefined {
    const job = this.#list(priority).shift();
    if (job !== undefined) this.#count(job, -1);
    return job;
  }

  /** No worker had the job: not a delivery. */
  giveBack(job: Job): void {
    if (!job.over) this.#putBack(job);
  }

  end(job: Job): void {
    job.over = true;
    const client = clientKey(job.envelope[0] as Buffer, job.priority);
    const jobs = this.#byClient.get(client);
    jobs?.delete(job);
    if (jobs?.size === 0) this.#byClient.delete(client);
  }

  dispatch(): void {
    if (this.#dispatching) return; // The broker may call back.
    this.#dispatching = true;
    try {
      for (let worker = this.#idle.first; worker !== undefined; worker = this.#idle.first) {
        const job = this.#next();
        if (job === undefined) return;
        worker.idleLink.unlink();
        const { id, dialect, expiry } = worker;
        const isAlive = expiry > this.now;
        if (isAlive && this.#effects.toWorker([id, ...addressedFrames(dialect, job.address, job.body)])) {
          job.deliveries += 1;
          worker.job = job;
          if (job.deliveries > 1) this.#repeated(job);
          continue;
        }
        this.#putBack(job);
        this.#lose(worker, "unreachable");
      }
    } finally {
      this.#dispatching = false;
    }
  }

  drain(): void {
    this.draining = true;
  }

  close(): void {
    for (const jobs of [...this.#byClient.values()]) for (const job of [...jobs]) this.#drop(job, "closed");
    while (this.#idle.shift() !== undefined);
    this.#workers.clear();
  }

  #ready(id: Buffer, dialect: Dialect): void {
    const key = keyOf(id);
    let worker = this.#workers.get(key);
    if (worker === undefined) {
      worker = new Worker(key, id, dialect);
      this.#workers.set(key, worker);
      this.#effects.event({ type: "worker:joined", worker: id, dialect });
    }
    worker.id = id;
    worker.dialect = dialect;
    worker.expiry = dialect === "paranoid" ? this.#expiry() : Number.POSITIVE_INFINITY;
    this.#idle.push(worker.idleLink);
    this.dispatch();
  }

  /** The worker gets its next request after this, so that the reply leaves first. */
  #reply(worker: Worker | undefined, { address, body }: Addressed): void {
    const job = worker?.job;
    if (worker === undefined || job === undefined || !job.address.equals(address)) {
      this.lateReplies += 1;
      return;
    }
    worker.job = undefined;
    if (job.over) {
      this.lateReplies += 1;
      return;
    }
    this.end(job);
    this.answered(job, body);
  }

  #repeated({ envelope, deliveries }: Job): void {
    this.repeated += 1;
    this.#effects.event({ type: "request:repeated", client: envelope[0] as Buffer, deliveries });
  }

  #expiry(): number {
    return this.now + (this.#options.silence ?? Number.POSITIVE_INFINITY);
  }

  #lose(worker: Worker, reason: PirateWorkerLeftReason): void {
    if (!this.#workers.delete(worker.key)) return;
    worker.idleLink.unlink();
    this.workersLost += 1;
    const { job } = worker;
    worker.job = undefined;
    if (job?.over === false) {
      if (job.deliveries >= this.#options.maxDeliveries) this.#drop(job, "deliveries");
      else this.#putBack(job);
    }
    // A listener may close the broker, which waits for requests that are queued or at a worker.
    this.#effects.event({ type: "worker:left", worker: worker.id, reason });
    this.dispatch();
  }

  #drop(job: Job, reason: JobDropReason): void {
    if (job.link.list !== undefined) this.#count(job, -1);
    job.link.unlink();
    this.end(job);
    this.dropped(job, reason);
  }

  #next(): Job | undefined {
    for (const list of this.#inARow < MAX_IN_A_ROW ? this.#waiting : this.#lastFirst) {
      const job = list.shift();
      if (job === undefined) continue;
      this.#count(job, -1);
      this.#inARow = job.priority === 0 ? this.#inARow + 1 : 0;
      return job;
    }
    return undefined;
  }

  #putBack(job: Job): void {
    this.#list(job.priority).unshift(job.link);
    this.#count(job, 1);
  }

  #count(job: Job, sign: 1 | -1): void {
    (this.#waitingBytes[job.priority] as number) += sign * job.bytes;
  }

  #list(priority: number): LinkedList<Job> {
    return this.#waiting[priority] as LinkedList<Job>;
  }
}
