/**
 * Requests that wait, workers that are free, and who has what: the heart of every
 * broker here that gives one request at a time to the least recently used worker.
 *
 *   request --> waiting --deliver--> in flight --complete--> replied
 *                  ^                     |
 *                  +---- worker lost ---+--> dropped, after `maxDeliveries`
 *
 * Pure: it opens nothing and knows no time.
 */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { costOf } from "../../core/frame-cost.js";
import { errorReply, type FailureReason } from "./errors.js";

/** A request, from its acceptance to its end. */
export interface Job {
  /** The way back: the routing ids up to the delimiter, nearest first, at least one. */
  readonly envelope: readonly Buffer[];
  /** 1 or more frames. */
  readonly body: readonly Buffer[];
  /** What all its frames cost (core/frame-cost.ts), those of the envelope included. */
  readonly bytes: number;
  /** The frame that stands for the asker at the worker, and comes back with the reply. */
  readonly address: Buffer;
  /** Jobs of a lower number go first. */
  readonly priority: number;
  /** How often it was given to a worker. */
  deliveries: number;
  /** It has ended: a holder of it forgets it. */
  over: boolean;
  /** Its place in a queue. */
  readonly link: Link<Job>;
}

/** Why a request ends without a reply. */
export type JobDropReason =
  /** Its asker left. */
  | "client-left"
  /** Each worker that had it was lost, `maxDeliveries` times. */
  | "deliveries"
  /** The broker closed. */
  | "closed";

/** What a client gets for a request that a broker dropped. */
export function reasonOf(reason: Exclude<JobDropReason, "client-left">): FailureReason {
  return reason === "deliveries" ? "worker-lost" : "stopping";
}

/** What the dispatcher asks of its broker. */
export interface DispatcherEffects {
  /** Sends a job to a worker. @returns whether the worker could be reached */
  deliver(worker: Buffer, job: Job): boolean;
  /** A worker turned out to be gone when it was to get a job. */
  unreachable(worker: Buffer): void;
  dropped(job: Job, reason: JobDropReason): void;
}

/** The bounds of a dispatcher. */
export interface DispatcherOptions {
  /** Requests of one class that may wait for a worker. */
  readonly maxQueue: number;
  /** What their bodies cost (core/frame-cost.ts). */
  readonly maxQueueBytes: number;
  /** How often one request may be given to a worker, at least 1. */
  readonly maxDeliveries: number;
  /** How many classes of urgency there are, at least 1. Default 1. */
  readonly priorities?: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Busy {
  readonly id: Buffer;
  readonly job: Job;
}

/** One key for one routing id, whatever bytes it has. */
export function keyOf(id: Buffer): string {
  return id.toString("latin1");
}

/** Askers of different classes may have the same routing id: they come over different sockets. */
function clientKey(client: Buffer, priority: number): string {
  return `${priority} ${keyOf(client)}`;
}

/**
 * A job from what a ROUTER received.
 *
 * Workers keep exactly one frame of address (6/PPP; zguide's ppworker drops all
 * else), but a way back may have several: a proxy's hop, a request id of REQ's.
 * Those become one frame of all their bytes, and the job keeps the frames.
 */
export function createJob(envelope: readonly Buffer[], body: readonly Buffer[], priority = 0): Job {
  const address = envelope.length === 1 ? (envelope[0] as Buffer) : Buffer.concat(envelope);
  const job = {
    envelope,
    body,
    bytes: costOf(envelope) + costOf(body),
    address,
    priority,
    deliveries: 0,
    over: false,
  } as Mutable<Job>;
  job.link = new Link<Job>(job);
  return job;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #effects: DispatcherEffects;
  /** By priority. What lost workers gave back stands in front: it is the oldest. */
  readonly #waiting: LinkedList<Job>[] = [];
  /** Bytes of those that wait, by priority. */
  readonly #waitingBytes: number[] = [];
  /** Free workers, the least recently used first. */
  readonly #idle = new Map<string, Buffer>();
  readonly #busy = new Map<string, Busy>();
  readonly #byClient = new Map<string, Set<Job>>();
  #dispatching = false;

  constructor(options: DispatcherOptions, effects: DispatcherEffects) {
    this.#options = options;
    this.#effects = effects;
    for (let i = 0; i < (options.priorities ?? 1); i++) {
      this.#waiting.push(new LinkedList());
      this.#waitingBytes.push(0);
    }
  }

  /** Requests that wait for a worker. */
  get queued(): number {
    return this.#waiting.reduce((sum, list) => sum + list.length, 0);
  }

  get idle(): number {
    return this.#idle.size;
  }

  get busy(): number {
    return this.#busy.size;
  }

  /**
   * How many more requests of a class may wait. Each class has its own bound: none shuts the others out. What is read
   * together may pass the bound of bytes by one batch.
   */
  room(priority = 0): number {
    const { maxQueue, maxQueueBytes } = this.#options;
    if ((this.#waitingBytes[priority] as number) >= maxQueueBytes) return 0;
    return Math.max(0, maxQueue - this.queuedOf(priority));
  }

  /** Bytes of the requests of all classes that wait. */
  get queuedBytes(): number {
    return this.#waitingBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Requests of a class that wait. */
  queuedOf(priority: number): number {
    return this.#list(priority).length;
  }

  isIdle(worker: Buffer): boolean {
    return this.#idle.has(keyOf(worker));
  }

  isBusy(worker: Buffer): boolean {
    return this.#busy.has(keyOf(worker));
  }

  idleWorkers(): IterableIterator<Buffer> {
    return this.#idle.values();
  }

  /** A request is accepted, whatever the bound: who asks looks at `room` first. */
  accept(job: Job): void {
    const client = clientKey(job.envelope[0] as Buffer, job.priority);
    const jobs = this.#byClient.get(client);
    if (jobs === undefined) this.#byClient.set(client, new Set([job]));
    else jobs.add(job);
    this.#list(job.priority).push(job.link);
    this.#count(job, 1);
    this.dispatch();
  }

  /** A worker is free, as the most recently used; the request it had is taken from it as if it were lost. */
  ready(worker: Buffer): void {
    const key = keyOf(worker);
    this.#takeBack(key);
    this.#idle.delete(key);
    this.#idle.set(key, worker);
    this.dispatch();
  }

  /**
   * A worker's reply. The worker counts as busy until it is `ready`, so that the reply can leave first.
   *
   * @returns the request that it ends; `undefined` for a reply to anything else, or that nobody wants any more
   */
  complete(worker: Buffer, address: Buffer): Job | undefined {
    const key = keyOf(worker);
    const job = this.#busy.get(key)?.job;
    if (job === undefined || !job.address.equals(address)) return undefined;
    this.#busy.delete(key);
    if (job.over) return undefined;
    this.end(job);
    return job;
  }

  /** A worker is gone: the request it had goes to another. @returns whether it was known */
  lost(worker: Buffer): boolean {
    const key = keyOf(worker);
    const known = this.#idle.delete(key) || this.#busy.has(key);
    this.#takeBack(key);
    this.dispatch();
    return known;
  }

  /** An asker of a class is gone: nobody wants its replies. */
  clientLeft(client: Buffer, priority = 0): void {
    const key = clientKey(client, priority);
    const jobs = this.#byClient.get(key);
    if (jobs === undefined) return;
    this.#byClient.delete(key);
    for (const job of jobs) this.#drop(job, "client-left");
  }

  /** Takes out the job of a class that would be next; `restore`, `giveBack` or `end` is to follow. */
  shift(priority: number): Job | undefined {
    const job = this.#list(priority).shift();
    if (job !== undefined) this.#count(job, -1);
    return job;
  }

  /** A job that was taken out comes back, before those that wait. Past `maxDeliveries` it is dropped. */
  restore(job: Job): void {
    if (job.over) return;
    if (job.deliveries >= this.#options.maxDeliveries) this.#drop(job, "deliveries");
    else this.#putBack(job);
  }

  /** The same for a job that no worker had: however often that happens, it is not dropped. */
  giveBack(job: Job): void {
    if (!job.over) this.#putBack(job);
  }

  /** A job that was taken out is done. */
  end(job: Job): void {
    if (job.over) return;
    job.over = true;
    const client = clientKey(job.envelope[0] as Buffer, job.priority);
    const jobs = this.#byClient.get(client);
    jobs?.delete(job);
    if (jobs?.size === 0) this.#byClient.delete(client);
  }

  /** Gives waiting requests to free workers while there are both. */
  dispatch(): void {
    if (this.#dispatching) return; // The broker may call back in the middle of it.
    this.#dispatching = true;
    try {
      for (const [key, worker] of this.#idle) {
        const job = this.#next();
        if (job === undefined) return;
        this.#idle.delete(key);
        job.deliveries += 1;
        if (this.#effects.deliver(worker, job)) {
          this.#busy.set(key, { id: worker, job });
          continue;
        }
        job.deliveries -= 1;
        this.#putBack(job);
        this.#effects.unreachable(worker);
      }
    } finally {
      this.#dispatching = false;
    }
  }

  /** Ends every request. */
  close(): void {
    for (const jobs of [...this.#byClient.values()]) for (const job of [...jobs]) this.#drop(job, "closed");
    this.#idle.clear();
    this.#busy.clear();
  }

  #takeBack(key: string): void {
    const busy = this.#busy.get(key);
    if (busy === undefined) return;
    this.#busy.delete(key);
    this.restore(busy.job);
  }

  #drop(job: Job, reason: JobDropReason): void {
    if (job.link.list !== undefined) this.#count(job, -1);
    job.link.unlink();
    this.end(job);
    this.#effects.dropped(job, reason);
  }

  #next(): Job | undefined {
    for (const list of this.#waiting) {
      const job = list.shift();
      if (job === undefined) continue;
      this.#count(job, -1);
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

/** A load balancer's statistics: requests = replies + queued + busyWorkers + dropped, but for requests of clients that left. */
export interface LoadBalancerStats {
  readonly idleWorkers: number;
  readonly busyWorkers: number;
  readonly queued: number;
  /** Bytes of the bodies of those that wait. */
  readonly queuedBytes: number;
  readonly requests: number;
  readonly replies: number;
  readonly dropped: Readonly<Record<JobDropReason, number>>;
  readonly lateReplies: number;
  /** Replies, of those counted, that their clients could not take: gone, or at their high-water mark. */
  readonly repliesDropped: number;
  readonly invalid: number;
  readonly workersLost: number;
}

/** What is done about a request that ends without a reply. */
interface DropEffects {
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  event(event: {
    readonly type: "request:dropped";
    readonly client: Buffer;
    readonly reason: JobDropReason;
  }): void;
}

/** What a broker around a dispatcher counts. */
export class BrokerCounters {
  requests = 0;
  replies = 0;
  lateReplies = 0;
  invalid = 0;
  workersLost = 0;
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };

  /** A request ends without a reply: its client gets an error reply, if it is there. */
  drop({ envelope }: Job, reason: JobDropReason, effects: DropEffects): void {
    this.#dropped[reason] += 1;
    effects.event({ type: "request:dropped", client: envelope[0] as Buffer, reason });
    if (reason !== "client-left") effects.reply(envelope, errorReply(reasonOf(reason)));
  }

  /** At this moment. */
  of(dispatcher: Dispatcher): Omit<LoadBalancerStats, "repliesDropped"> {
    return {
      idleWorkers: dispatcher.idle,
      busyWorkers: dispatcher.busy,
      queued: dispatcher.queued,
      queuedBytes: dispatcher.queuedBytes,
      requests: this.requests,
      replies: this.replies,
      dropped: { ...this.#dropped },
      lateReplies: this.lateReplies,
      invalid: this.invalid,
      workersLost: this.workersLost,
    };
  }
}
