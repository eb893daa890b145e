/**
 * Requests of a worker: up to `concurrency` handlers run. A repeated request is handled once: the newest delivery gets
 * the answer, and earlier ones end.
 *
 * A handler is free when its answer was sent. A piece waits for credit, and must be sent before the next one is
 * requested.
 */

import { owned } from "../../core/bytes.js";
import { SendCredit } from "../../core/credit.js";
import { systemClock } from "../../core/timers.js";
import { decodeValue } from "../../kit/body.js";
import { failure, type HandlerFailure } from "../../kit/errors.js";
import { CANCELLED, HandlerJob, HandlerRuntime, type Observed } from "../../kit/handler-runtime.js";
import type { Codec } from "../../sockets/codec.js";
import { toMessage } from "../../sockets/message.js";
import {
  Body,
  type ClientId,
  Dialect,
  decodeHeaders,
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

/** Of a handler. */
type Outcome = Body | HandlerFailure;

export class Job extends HandlerJob implements Repeatable, MajordomoRequestContext {
  memory: ClientMemory | undefined = undefined;
  keptBytes = 0;
  /** Of the latest delivery. */
  session: WorkerSession;
  delivery: Delivery;
  readonly service: string;
  /** Kept for repetitions. */
  answer: Body | undefined = undefined;
  failed = false;
  pieces = 0;

  constructor(session: WorkerSession, delivery: Delivery, service: string) {
    super();
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

  own(): void {
    this.delivery.headers = owned(this.delivery.headers);
    this.answer = this.answer?.owned();
  }
}

/** Requests queued beyond what brokers may send. */
const MAX_EXTRA = 1_000;

const SUPERSEDED = failure("duplicate", "The client has asked again by another way.");
const UNWANTED = failure("duplicate", "The client does not want it any more.");
const STOPPING = failure("stopping", "The worker is stopping.");
const NO_ROOM = failure("overloaded", "The worker has no room.");
const UNSENT = failure("worker-failed", "A piece could not be sent.");
const UNFIT = failure("worker-failed", "The answer does not fit a message of the worker's context.");

export interface JobsOptions
  extends Pick<
    WorkerSettings,
    "concurrency" | "prefetch" | "dedupWindow" | "dedupBytes" | "maxReplyBytes" | "creditTimeout"
  > {
  readonly service: string;
  readonly requestCodec: Codec<unknown> | undefined;
  readonly replyCodec: Codec<unknown> | undefined;
}

export class WorkerJobs extends HandlerRuntime<Job> {
  readonly counters = {
    requests: 0,
    answered: 0,
    failed: 0,
    cancelled: 0,
    stale: 0,
    duplicates: 0,
    faults: 0,
  };
  unsentBytes = 0;
  readonly #options: JobsOptions;
  readonly #handler: MajordomoHandler<unknown, unknown>;
  readonly #emit: (event: MajordomoWorkerEvent) => void;
  readonly #memory: RequestMemory;
  /** Of the last request. */
  #client: ClientMemory | undefined = undefined;
  #isStopping = false;

  constructor(
    options: JobsOptions,
    handler: MajordomoHandler<unknown, unknown>,
    emit: (event: MajordomoWorkerEvent) => void,
  ) {
    super(options.concurrency);
    this.#options = options;
    this.#handler = handler;
    this.#emit = emit;
    this.#memory = new RequestMemory(options.dedupWindow, options.dedupBytes);
  }

  start(session: WorkerSession, delivery: Delivery): void {
    const job = new Job(session, delivery, this.#options.service);
    this.counters.requests += 1;
    session.jobs.set(delivery.number, job);
    if (delivery.clientId === undefined || !this.#isRepeated(job, delivery.clientId)) this.#begin(job);
  }

  #begin(job: Job): void {
    const { concurrency, prefetch } = this.#options;
    if (this.#isStopping) this.#settleUnrun(job, STOPPING);
    else if (this.queued < MAX_EXTRA + concurrency + prefetch) this.take(job);
    else this.#settleUnrun(job, NO_ROOM);
  }

  cancel(session: WorkerSession, tag: number): void {
    session.jobs.get(tag)?.abort();
  }

  credit(session: WorkerSession, tag: number, bytes: number): void {
    session.jobs.get(tag)?.credit?.granted(0, bytes);
  }

  /** The session lost its broker. */
  abandon(session: WorkerSession): void {
    const jobs = session.jobs.values() as Job[];
    session.jobs.clear();
    // A repetition of a request with an id gets the answer of a handler that has begun, unless it has pieces.
    for (const job of jobs)
      if (job.delivery.clientId === undefined || job.credit !== undefined || !job.hasSlot) job.abort();
  }

  /** Returns requests that have no handler, and those that come. */
  returnWaiting(): void {
    this.#isStopping = true;
    for (let job = this.queue.shift(); job !== undefined; job = this.queue.shift())
      this.#settleUnrun(job, STOPPING);
  }

  override get hasSlot(): boolean {
    return super.hasSlot && this.unsentBytes <= this.#options.maxReplyBytes;
  }

  /** @returns whether it is a repetition, which the outcome of the first one answers */
  #isRepeated(job: Job, id: ClientId): boolean {
    const { sequence, oldest } = job.delivery;
    const memory = this.#memory.clientOf(id, this.#client);
    this.#client = memory;
    const first = memory.entries.get(sequence) as Job | undefined;
    if (first?.answer !== undefined) this.#settle(job, first.answer);
    else if (first?.aborted === false) this.#moveTo(job, first);
    else if (sequence < memory.settled) this.#settle(job, UNWANTED);
    else {
      this.#memory.settle(memory, oldest);
      this.#memory.begin(memory, job);
      return false;
    }
    this.counters.duplicates += 1;
    return true;
  }

  protected override isWanted(job: Job): boolean {
    if (job.aborted) this.#settleUnrun(job, CANCELLED);
    return !job.aborted;
  }

  protected override decode({ delivery }: Job): unknown {
    const { requestCodec } = this.#options;
    const { frames } = delivery.body;
    return requestCodec === undefined ? frames : decodeValue(requestCodec, frames as Buffer[]);
  }

  protected override handle(job: Job, request: unknown): unknown {
    return this.#handler(request as never, job);
  }

  protected override properties({ service, headers }: Job): Observed {
    return { system: "majordomo", service, method: "", headers };
  }

  protected override reply(job: Job, value: unknown): void {
    this.#finish(job, this.#encode(value));
  }

  protected override streams(job: Job): SendCredit {
    // Pieces cannot be repeated: a repetition counts as a new request.
    this.#memory.forget(job);
    const bytes = job.delivery.dialect === Dialect.Shoal ? STREAM_WINDOW : Number.POSITIVE_INFINITY;
    return new SendCredit(Number.POSITIVE_INFINITY, bytes, this.#options.creditTimeout);
  }

  protected override async part(job: Job, value: unknown): Promise<HandlerFailure | undefined> {
    const body = this.#encode(value);
    const { cost } = body;
    if (job.delivery.dialect === Dialect.Mdp01) return NO_PIECES;
    const sending = job.session.reply(job, false, body);
    if (sending === false) return CANCELLED;
    job.pieces += 1;
    job.credit?.sent(cost);
    if (sending === true) return undefined;
    this.unsentBytes += cost;
    const sent = await sending;
    this.unsentBytes -= cost;
    this.beginQueued();
    return sent ? undefined : UNSENT;
  }

  protected override end(job: Job, value: unknown): void {
    this.#finish(job, value === undefined ? NO_BODY : this.#encode(value));
  }

  protected override report(_job: Job, error: unknown, isRequest: boolean): void {
    this.#emit({ type: isRequest ? "request:invalid" : "handler:failed", error });
  }

  protected override refuse(job: Job, failed: HandlerFailure): void {
    this.#finish(job, failed);
  }

  #encode(reply: unknown): Body {
    const { replyCodec } = this.#options;
    const message = toMessage(replyCodec === undefined ? reply : replyCodec.encode(reply));
    return Body.of((Array.isArray(message) ? message : [message]) as Frames);
  }

  #finish(job: Job, outcome: Outcome): void {
    const isOver = this.#settle(job, outcome);
    // An answer is kept without its request.
    job.delivery.body = NO_BODY;
    if (job.memory !== undefined) {
      if (!(outcome instanceof Body) || job.failed || job.aborted) this.#memory.forget(job);
      else if (this.#memory.keep(job, outcome.cost + job.delivery.headers.length)) job.answer = outcome;
    }
    if (isOver) this.release(job);
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
    job.session.jobs.set(job.delivery.number, job);
    const sending = session.failure(delivery, SUPERSEDED);
    this.counters[sending === false ? "stale" : "cancelled"] += 1;
  }

  /** @returns whether it is over; `false`: it waits for room */
  #settle(job: Job, outcome: Outcome): boolean {
    const { session, delivery } = job;
    const isAnswer = outcome instanceof Body;
    this.#leave(job);
    job.failed = !isAnswer;
    let sending: ReplySending = false;
    try {
      sending = isAnswer ? session.reply(job, true, outcome) : session.failure(delivery, outcome);
    } catch (error) {
      this.#emit({ type: "handler:failed", error });
      job.operation?.end(error);
      if (outcome !== UNFIT) return this.#settle(job, UNFIT);
    }
    if (typeof sending === "boolean") {
      this.#ended(job, sending);
      return true;
    }
    void this.#awaitRoom(job, sending, isAnswer ? outcome.cost : outcome.text.length);
    return false;
  }

  async #awaitRoom(job: Job, sending: Promise<boolean>, bytes: number): Promise<void> {
    this.unsentBytes += bytes;
    const sent = await sending;
    this.unsentBytes -= bytes;
    this.#ended(job, sent);
    this.release(job);
  }

  /** Plain brokers' deliveries have one tag: it may be a later one's. */
  #leave(job: Job): void {
    const { jobs } = job.session;
    if (jobs.get(job.delivery.number) === job) jobs.delete(job.delivery.number);
  }

  #ended(job: Job, sent: boolean): void {
    if (!sent) this.counters.stale += 1;
    else if (job.aborted) this.counters.cancelled += 1;
    else if (job.failed) this.counters.failed += 1;
    else this.counters.answered += 1;
  }
}
