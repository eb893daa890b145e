/**
 * Requests, idle workers, and assignments of the brokers that give one request at a time to the least recently used
 * worker. Pure.
 *
 *   request --> waiting --deliver--> in flight --complete--> replied
 *                  ^                     |
 *                  +---- worker lost ---+--> dropped, after `maxDeliveries`
 */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { costOf } from "../../core/frame-cost.js";
import { keyOf } from "../../core/memory.js";
import type { FailureReason } from "./errors.js";

export class Job {
  /** Routing ids up to the delimiter, nearest first. */
  readonly envelope: readonly Buffer[];
  readonly body: readonly Buffer[];
  /** Cost of all frames (core/frame-cost.ts). */
  readonly bytes: number;
  /**
   * Identifies the client to the worker; the reply repeats it. Workers keep exactly one frame (6/PPP; the Guide's
   * ppworker drops the rest), so that an envelope of several (a proxy's hop, a REQ request id) is joined.
   */
  readonly address: Buffer;
  /** Lower numbers go first. */
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

/** Why a request ended without a reply. */
export type JobDropReason =
  /** The client disconnected. */
  | "client-left"
  /** `maxDeliveries` workers were lost with it. */
  | "deliveries"
  /** The broker closed. */
  | "closed";

export function reasonOf(reason: Exclude<JobDropReason, "client-left">): FailureReason {
  return reason === "deliveries" ? "worker-lost" : "stopping";
}

export interface DispatcherEffects {
  /** @returns whether the worker could be reached */
  deliver(worker: Buffer, job: Job): boolean;
  unreachable(worker: Buffer): void;
  dropped(job: Job, reason: JobDropReason): void;
}

export interface DispatcherOptions {
  /** Per priority. */
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  /** At least 1. */
  readonly maxDeliveries: number;
  /** Default 1. */
  readonly priorities?: number;
}

/** Routing ids of different sockets may collide. */
function clientKey(client: Buffer, priority: number): string {
  return `${priority} ${keyOf(client)}`;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #effects: DispatcherEffects;
  /** By priority. Requests of lost workers go in front. */
  readonly #waiting: LinkedList<Job>[] = [];
  readonly #waitingBytes: number[] = [];
  /** Idle workers, least recently used first. */
  readonly #idle = new Map<string, Buffer>();
  readonly #busy = new Map<string, Job>();
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

  get queued(): number {
    return this.#waiting.reduce((sum, list) => sum + list.length, 0);
  }

  get idle(): number {
    return this.#idle.size;
  }

  get busy(): number {
    return this.#busy.size;
  }

  /** Separate bounds keep one priority from starving the others. One batch may exceed the bound of bytes. */
  room(priority = 0): number {
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

  isIdle(worker: Buffer): boolean {
    return this.#idle.has(keyOf(worker));
  }

  isBusy(worker: Buffer): boolean {
    return this.#busy.has(keyOf(worker));
  }

  idleWorkers(): IterableIterator<Buffer> {
    return this.#idle.values();
  }

  /** Callers check `room` first. */
  accept(job: Job): void {
    const client = clientKey(job.envelope[0] as Buffer, job.priority);
    const jobs = this.#byClient.get(client);
    if (jobs === undefined) this.#byClient.set(client, new Set([job]));
    else jobs.add(job);
    this.#list(job.priority).push(job.link);
    this.#count(job, 1);
    this.dispatch();
  }

  /** Marks a worker idle. A request it still had is returned as if it were lost. */
  ready(worker: Buffer): void {
    const key = keyOf(worker);
    this.#takeBack(key);
    this.#idle.delete(key);
    this.#idle.set(key, worker);
    this.dispatch();
  }

  /**
   * The worker stays busy until `ready`, so that the reply leaves first.
   * @returns the finished request; `undefined` for an unknown or abandoned one
   */
  complete(worker: Buffer, address: Buffer): Job | undefined {
    const key = keyOf(worker);
    const job = this.#busy.get(key);
    if (job === undefined || !job.address.equals(address)) return undefined;
    this.#busy.delete(key);
    if (job.over) return undefined;
    this.end(job);
    return job;
  }

  /** @returns whether the worker was known */
  lost(worker: Buffer): boolean {
    const key = keyOf(worker);
    const known = this.#idle.delete(key) || this.#busy.has(key);
    this.#takeBack(key);
    this.dispatch();
    return known;
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
    if (job.over) return;
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
      for (const [key, worker] of this.#idle) {
        const job = this.#next();
        if (job === undefined) return;
        this.#idle.delete(key);
        job.deliveries += 1;
        if (this.#effects.deliver(worker, job)) {
          this.#busy.set(key, job);
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

  close(): void {
    for (const jobs of [...this.#byClient.values()]) for (const job of [...jobs]) this.#drop(job, "closed");
    this.#idle.clear();
    this.#busy.clear();
  }

  #takeBack(key: string): void {
    const job = this.#busy.get(key);
    if (job === undefined) return;
    this.#busy.delete(key);
    if (job.over) return;
    if (job.deliveries >= this.#options.maxDeliveries) this.#drop(job, "deliveries");
    else this.#putBack(job);
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
