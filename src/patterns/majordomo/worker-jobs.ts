/**
 * Requests of a worker: up to `concurrency` handlers run. A repeated request is handled once: the newest delivery gets
 * the answer, and earlier ones end.
 *
 * A handler is free when its answer was sent. A piece must be sent, and credit left, before the next one is requested.
 */

import { isThenable } from "../../core/arguments.js";
import { owned } from "../../core/bytes.js";
import { systemClock } from "../../core/clock.js";
import { Link } from "../../core/collections/linked-list.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { SendCredit } from "../../core/credit.js";
import { begin, isObserved, PROCESS, type ProcessOperation } from "../../core/diagnostics.js";
import { IdleWaits } from "../../core/idle-waits.js";
import { ignore } from "../../core/ignore.js";
import type { Codec } from "../../sockets/codec.js";
import { toMessage } from "../../sockets/message.js";
import { decodeValue } from "../kit/body.js";
import { handlerFailure, isRefusedRequest, requestFailure } from "../kit/errors.js";
import {
  Body,
  type ClientId,
  Dialect,
  decodeHeaders,
  type Failed,
  type Frames,
  idText,
  NO_BODY,
  NO_LIMIT,
  NO_PIECES,
  STREAM_WINDOW,
} from "./protocol.js";
import { type ClientMemory, type Repeatable, RequestMemory } from "./request-memory.js";
import type {
  MajordomoHandler,
  MajordomoRequestContext,
  MajordomoWorkerEvent,
  WorkerSettings,
} from "./worker-options.js";
import type { Delivery, ReplySending, WorkerSession } from "./worker-rules.js";

type Outcome = { readonly ok: true; readonly body: Body } | (Failed & { readonly ok: false });

export class Job implements Repeatable, MajordomoRequestContext {
  memory: ClientMemory | undefined = undefined;
  keptBytes = 0;
  readonly placeLink: Link<Repeatable> = new Link<Repeatable>(this);
  /** Of the latest delivery. */
  session: WorkerSession;
  delivery: Delivery;
  readonly service: string;
  outcome: Outcome | undefined = undefined;
  cancelled = false;
  /** It has a handler. */
  running = false;
  failed = false;
  pieces = 0;
  /** Of an answer in pieces. */
  credit: SendCredit | undefined = undefined;
  /** Set while traced. */
  operation: ProcessOperation | undefined = undefined;
  #controller: AbortController | undefined = undefined;

  constructor(session: WorkerSession, delivery: Delivery, service: string) {
    this.session = session;
    this.delivery = delivery;
    this.service = service;
  }

  get sequence(): number {
    return this.delivery.sequence;
  }

  get id(): string | undefined {
    return this.delivery.clientId === undefined ? undefined : idText(this.delivery);
  }

  get headers(): Readonly<Record<string, string>> {
    return decodeHeaders(this.delivery.headers);
  }

  get deadline(): Date | undefined {
    const { time, receivedAt } = this.delivery;
    return time === NO_LIMIT ? undefined : new Date(Date.now() - (systemClock.now() - receivedAt) + time);
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  // Created on demand: most handlers do not use it, and it costs more than the rest.
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.cancelled) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.cancelled = true;
    this.#controller?.abort();
    this.credit?.wake();
  }

  own(): void {
    this.delivery.headers = owned(this.delivery.headers);
    if (this.outcome?.ok === true) this.outcome = { ok: true, body: this.outcome.body.owned() };
  }
}

/** Requests queued beyond what brokers may send. */
const MAX_EXTRA = 1_000;

/** An aborted handler may stop early: its answer is not complete. */
const CANCELLED = failed("worker-failed", "Cancelled.");
const SUPERSEDED = failed("duplicate", "The client has asked again by another way.");
const UNWANTED = failed("duplicate", "The client does not want it any more.");
const STOPPING = failed("stopping", "The worker is stopping.");
const NO_ROOM = failed("overloaded", "The worker has no room.");
const UNSENT = failed("worker-failed", "A piece could not be sent.");
const UNREAD = failed("slow-reader", "Nobody read on in time.");
const UNCARRIED = failed(NO_PIECES.reason, NO_PIECES.text);
const UNFIT = failed("worker-failed", "The answer does not fit a message of the worker's context.");

function failed(reason: string, text: string): Failed & { readonly ok: false } {
  return { ok: false, reason, text };
}

export interface JobsOptions
  extends Pick<
    WorkerSettings,
    "concurrency" | "prefetch" | "dedupWindow" | "dedupBytes" | "maxReplyBytes" | "creditTimeout"
  > {
  readonly service: string;
  readonly requestCodec: Codec<unknown> | undefined;
  readonly replyCodec: Codec<unknown> | undefined;
}

export class WorkerJobs {
  readonly counters = {
    requests: 0,
    answered: 0,
    failed: 0,
    cancelled: 0,
    stale: 0,
    duplicates: 0,
    faults: 0,
  };
  running = 0;
  unsentBytes = 0;
  readonly #options: JobsOptions;
  readonly #handler: MajordomoHandler<unknown, unknown>;
  readonly #emit: (event: MajordomoWorkerEvent) => void;
  readonly #waiting = new RingBuffer<Job>();
  readonly #memory: RequestMemory;
  /** Of the last request. */
  #client: ClientMemory | undefined = undefined;
  /** By tag. */
  readonly #open = new Map<WorkerSession, NumberTable<Job>>();
  readonly #idle = new IdleWaits();

  constructor(
    options: JobsOptions,
    handler: MajordomoHandler<unknown, unknown>,
    emit: (event: MajordomoWorkerEvent) => void,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.#emit = emit;
    this.#memory = new RequestMemory(options.dedupWindow, options.dedupBytes);
  }

  get queued(): number {
    return this.#waiting.length;
  }

  start(session: WorkerSession, delivery: Delivery): void {
    const job = new Job(session, delivery, this.#options.service);
    this.counters.requests += 1;
    this.#openOf(session).set(delivery.number, job);
    if (delivery.clientId === undefined || !this.#isRepeated(job, delivery.clientId)) this.#begin(job);
  }

  #begin(job: Job): void {
    const { concurrency, prefetch } = this.#options;
    if (this.#hasFree()) this.#run(job);
    else if (this.#waiting.length < MAX_EXTRA + concurrency + prefetch) this.#waiting.push(job);
    else this.#settleUnrun(job, NO_ROOM);
  }

  cancel(session: WorkerSession, tag: number): void {
    this.#open.get(session)?.get(tag)?.abort();
  }

  credit(session: WorkerSession, tag: number, bytes: number): void {
    this.#open.get(session)?.get(tag)?.credit?.granted(0, bytes);
  }

  /** The session lost its broker. */
  abandon(session: WorkerSession): void {
    const jobs = this.#open.get(session);
    if (jobs === undefined) return;
    this.#open.delete(session);
    // A repetition of a request with an id gets the answer of a handler that has begun, unless it has pieces.
    for (const job of jobs.values())
      if (job.delivery.clientId === undefined || job.credit !== undefined || !job.running) job.abort();
  }

  /** Returns requests that have no handler. */
  returnWaiting(): void {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      this.#settleUnrun(job, STOPPING);
    }
  }

  abortAll(): void {
    for (const jobs of this.#open.values()) for (const job of jobs.values()) job.abort();
  }

  #hasFree(): boolean {
    const { concurrency, maxReplyBytes } = this.#options;
    return this.running < concurrency && this.unsentBytes <= maxReplyBytes;
  }

  /** Settles when no handler runs and all answers were sent. */
  whenIdle(): Promise<void> {
    return this.#idle.wait(this.running === 0);
  }

  /** Ends waiting `whenIdle` calls at close. */
  giveUpWaits(): void {
    this.#idle.end();
  }

  #openOf(session: WorkerSession): NumberTable<Job> {
    let jobs = this.#open.get(session);
    if (jobs === undefined) {
      jobs = new NumberTable<Job>();
      this.#open.set(session, jobs);
    }
    return jobs;
  }

  /** @returns whether it is a repetition, which the outcome of the first one answers */
  #isRepeated(job: Job, id: ClientId): boolean {
    const { sequence, oldest } = job.delivery;
    const memory = this.#memory.clientOf(id, this.#client);
    this.#client = memory;
    const first = memory.entries.get(sequence) as Job | undefined;
    if (first?.outcome !== undefined) this.#settle(job, first.outcome);
    else if (first?.cancelled === false) this.#moveTo(job, first);
    else if (sequence < memory.settled) this.#settle(job, UNWANTED);
    else {
      this.#memory.settle(memory, oldest);
      this.#memory.begin(memory, job);
      return false;
    }
    this.counters.duplicates += 1;
    return true;
  }

  #run(job: Job): void {
    this.running += 1;
    job.running = true;
    let request: unknown = job.delivery.body.frames;
    const { requestCodec } = this.#options;
    if (requestCodec !== undefined) {
      try {
        request = decodeValue(requestCodec, job.delivery.body.frames as Buffer[]);
      } catch (error) {
        this.#emit({ type: "request:invalid", error });
        this.#finish(job, { ok: false, ...requestFailure(error) });
        return;
      }
    }
    try {
      const result = this.#call(request, job);
      if (isThenable(result)) this.#await(job, result);
      else this.#replied(job, result);
    } catch (error) {
      this.#threw(job, error);
    }
  }

  // Apart from `#run`, which would make a scope for these functions at each call.
  #await(job: Job, result: PromiseLike<unknown>): void {
    // A foreign thenable may settle more than once.
    Promise.resolve(result).then(
      (reply) => this.#replied(job, reply),
      (error: unknown) => this.#threw(job, error),
    );
  }

  #call(request: unknown, job: Job): unknown {
    return isObserved(PROCESS) ? this.#observed(request, job) : this.#handler(request, job);
  }

  #observed(request: unknown, job: Job): unknown {
    job.operation = begin<ProcessOperation>(PROCESS, {
      system: "majordomo",
      service: job.service,
      method: "",
      headers: job.headers,
    });
    return job.operation.run(() => this.#handler(request, job));
  }

  #replied(job: Job, reply: unknown): void {
    try {
      if (isGenerator(reply)) void this.#stream(job, reply);
      else this.#finish(job, { ok: true, body: this.#encode(reply) });
    } catch (error) {
      this.#threw(job, error);
    }
  }

  #threw(job: Job, error: unknown): void {
    job.operation?.end(error ?? new Error("the handler threw no error"));
    if (isRefusedRequest(error)) this.#emit({ type: "request:invalid", error });
    else if (!job.cancelled) this.#emit({ type: "handler:failed", error });
    this.#finish(job, { ok: false, ...handlerFailure(error) });
  }

  async #stream(job: Job, pieces: AsyncGenerator<unknown, unknown>): Promise<void> {
    // Pieces cannot be repeated: a repetition counts as a new request.
    this.#memory.forget(job);
    const bytes = job.delivery.dialect === Dialect.Shoal ? STREAM_WINDOW : Number.POSITIVE_INFINITY;
    const credit = new SendCredit(Number.POSITIVE_INFINITY, bytes, this.#options.creditTimeout);
    job.credit = credit;
    const steps = job.operation?.runEach(pieces) ?? pieces;
    let outcome: Outcome | undefined;
    try {
      while (outcome === undefined) {
        if (job.cancelled) outcome = CANCELLED;
        else if (!credit.hasRoom) {
          await credit.room();
          if (!credit.hasRoom && !job.cancelled) outcome = UNREAD;
          continue;
        }
        if (outcome !== undefined) break;
        const { value, done } = await steps.next();
        if (done === true) {
          const body = value === undefined ? NO_BODY : this.#encode(value);
          this.#finish(job, job.cancelled ? CANCELLED : { ok: true, body });
          return;
        }
        outcome = await this.#piece(job, this.#encode(value));
      }
      await left(steps);
      this.#finish(job, outcome);
    } catch (error) {
      // Left as by a loop; the first error is the answer.
      await left(steps).catch(ignore);
      this.#threw(job, error);
    }
  }

  /** @returns the outcome if the job ends */
  async #piece(job: Job, body: Body): Promise<Outcome | undefined> {
    if (job.cancelled) return CANCELLED;
    const { cost } = body;
    if (job.delivery.dialect === Dialect.Mdp01) return UNCARRIED;
    const sending = job.session.reply(job, false, body);
    if (sending === false) return CANCELLED;
    job.pieces += 1;
    job.credit?.sent(cost);
    if (sending === true) return undefined;
    this.unsentBytes += cost;
    const sent = await sending;
    this.unsentBytes -= cost;
    return sent ? undefined : UNSENT;
  }

  #encode(reply: unknown): Body {
    const { replyCodec } = this.#options;
    const message = toMessage(replyCodec === undefined ? reply : replyCodec.encode(reply));
    return Body.of((Array.isArray(message) ? message : [message]) as Frames);
  }

  #finish(job: Job, outcome: Outcome): void {
    this.#settle(job, outcome);
    job.operation?.end(job.failed ? new Error(outcome.ok ? UNFIT.text : outcome.text) : undefined);
    // An answer is kept without its request.
    job.delivery.body = NO_BODY;
    if (job.memory !== undefined) {
      if (!outcome.ok || job.failed || job.cancelled) this.#memory.forget(job);
      else if (this.#memory.keep(job, outcome.body.cost + job.delivery.headers.length)) job.outcome = outcome;
    }
    this.#runNext();
  }

  /** For a request without a handler: a repetition counts as new. */
  #settleUnrun(job: Job, outcome: Outcome): void {
    this.#memory.forget(job);
    this.#settle(job, outcome);
  }

  /** The newest delivery gets the answer; the earlier one ends. */
  #moveTo(newest: Job, job: Job): void {
    const { session, delivery } = job;
    this.#leave(job);
    job.session = newest.session;
    job.delivery = newest.delivery;
    this.#openOf(job.session).set(job.delivery.number, job);
    const sending = session.failure(delivery, SUPERSEDED);
    this.counters[sending === false ? "stale" : "cancelled"] += 1;
  }

  #runNext(): void {
    while (this.#hasFree()) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      if (next.cancelled) this.#settleUnrun(next, CANCELLED);
      else this.#run(next);
    }
    if (this.running === 0) this.#idle.end();
  }

  #settle(job: Job, outcome: Outcome): void {
    const { session, delivery } = job;
    this.#leave(job);
    job.failed = !outcome.ok;
    let sending: ReplySending = false;
    try {
      sending = outcome.ok ? session.reply(job, true, outcome.body) : session.failure(delivery, outcome);
    } catch (error) {
      this.#emit({ type: "handler:failed", error });
      if (outcome !== UNFIT) {
        this.#settle(job, UNFIT);
        return;
      }
    }
    if (typeof sending === "boolean") this.#ended(job, sending);
    else void this.#awaitRoom(job, sending, outcome.ok ? outcome.body.cost : outcome.text.length);
  }

  async #awaitRoom(job: Job, sending: Promise<boolean>, bytes: number): Promise<void> {
    this.unsentBytes += bytes;
    const sent = await sending;
    this.unsentBytes -= bytes;
    this.#ended(job, sent);
    this.#runNext();
  }

  /** Plain brokers' deliveries have one tag: it may be a later one's. */
  #leave(job: Job): void {
    const open = this.#open.get(job.session);
    if (open?.get(job.delivery.number) === job) open.delete(job.delivery.number);
  }

  #ended(job: Job, sent: boolean): void {
    if (job.running) {
      job.running = false;
      this.running -= 1;
    }
    if (!sent) this.counters.stale += 1;
    else if (job.cancelled) this.counters.cancelled += 1;
    else if (job.failed) this.counters.failed += 1;
    else this.counters.answered += 1;
  }
}

async function left(steps: Partial<AsyncGenerator<unknown, unknown>>): Promise<void> {
  await steps.return?.(undefined);
}

function isGenerator(value: unknown): value is AsyncGenerator<unknown, unknown> {
  const generator = value as Partial<AsyncGenerator<unknown>> | null | undefined;
  return typeof generator?.next === "function" && typeof generator[Symbol.asyncIterator] === "function";
}
