/**
 * The requests in a worker's hands: at most `concurrency` handlers run at once,
 * the others wait. A request whose id was seen shares the outcome of the first.
 */

import { RingBuffer } from "../../core/ring-buffer.js";
import type { Codec } from "../../sockets/codec.js";
import { type MessageLike, toMessage } from "../../sockets/message.js";
import type { Raw } from "../../sockets/shape.js";
import { SeenWindow } from "../common/seen-window.js";
import { bytesOf, Dialect, EMPTY, ERROR_MARK, textOf } from "./protocol.js";
import type { WorkerEvent } from "./worker-events.js";
import type { Delivery, WorkerSession } from "./worker-rules.js";

/** What a handler gets: frames, or with a codec the value. */
export type RequestBody<T> = [T] extends [Raw] ? Buffer[] : T;
/** What a handler gives: a frame or frames, or with a codec the value. */
export type ReplyBody<T> = [T] extends [Raw] ? MessageLike | MessageLike[] : T;

/** What a handler may give back: the reply, or pieces of it as they come, and with `return` the last. */
export type HandlerResult<T> =
  | ReplyBody<T>
  | Promise<ReplyBody<T>>
  | AsyncGenerator<ReplyBody<T>, ReplyBody<T> | undefined, void>;

/** Handles one request of a service. */
export type MajordomoHandler<Req = Raw, Rep = Raw> = (
  request: RequestBody<Req>,
  context: RequestContext,
) => HandlerResult<Rep>;

/** Beside the request's body. */
export interface RequestContext {
  /** Aborted when nobody waits for the answer any more: given up, the broker lost, the worker closing. */
  readonly signal: AbortSignal;
  /** The service that was asked. */
  readonly service: string;
  /** The same for each repetition of a request; 32 hexadecimal digits, `undefined` from a plain client or broker. */
  readonly id: string | undefined;
}

type Body = (Buffer | string)[];

/** Requests that may wait for a handler beyond what the brokers were promised: those of ask-all. */
const MAX_EXTRA = 1_000;

class Job implements RequestContext {
  readonly session: WorkerSession;
  readonly delivery: Delivery;
  readonly service: string;
  readonly key: string;
  /** Repetitions that came while the first is in hand. */
  followers: Job[] | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  cancelled = false;
  running = false;
  #controller: AbortController | undefined = undefined;

  constructor(session: WorkerSession, delivery: Delivery, service: string, key: string) {
    this.session = session;
    this.delivery = delivery;
    this.service = service;
    this.key = key;
  }

  get id(): string | undefined {
    return this.key === "" ? undefined : this.delivery.id.toString("hex");
  }

  // Made when it is asked for: most handlers never look, and it costs more than all else here.
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.cancelled) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.cancelled = true;
    this.#controller?.abort();
  }
}

type Outcome =
  | { readonly ok: true; readonly body: Body }
  | { readonly ok: false; readonly reason: string; readonly text: string };

export interface JobsOptions {
  readonly service: string;
  readonly concurrency: number;
  readonly dedupWindow: number;
  readonly dedupBytes: number;
  readonly requestCodec: Codec<unknown> | undefined;
  readonly replyCodec: Codec<unknown> | undefined;
}

export class WorkerJobs {
  readonly counters = { requests: 0, answered: 0, failed: 0, cancelled: 0, stale: 0, duplicates: 0 };
  running = 0;
  readonly #options: JobsOptions;
  readonly #handler: MajordomoHandler<unknown, unknown>;
  readonly #emit: (event: WorkerEvent) => void;
  readonly #waiting = new RingBuffer<Job>();
  readonly #seen: SeenWindow<Job>;
  /** Of the third dialect, by session and tag, for CANCEL. */
  readonly #open = new Map<WorkerSession, Map<string, Job>>();
  #whenIdle: (() => void) | undefined;

  constructor(
    options: JobsOptions,
    handler: MajordomoHandler<unknown, unknown>,
    emit: (event: WorkerEvent) => void,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.#emit = emit;
    this.#seen = new SeenWindow(options.dedupWindow, options.dedupBytes);
  }

  get queued(): number {
    return this.#waiting.length;
  }

  /** A broker gave a request. */
  start(session: WorkerSession, delivery: Delivery): void {
    const key = delivery.id.length === 0 ? "" : textOf(delivery.id);
    const job = new Job(session, delivery, this.#options.service, key);
    this.counters.requests += 1;
    if (delivery.dialect === Dialect.Shoal) this.#openOf(session).set(tagOf(delivery), job);
    const first = key === "" ? undefined : this.#seen.get(key);
    if (first !== undefined && (first.outcome !== undefined || !first.cancelled)) {
      this.counters.duplicates += 1;
      this.#emit({ type: "request:duplicate" });
      if (first.outcome !== undefined) this.#settle(job, first.outcome);
      else {
        first.followers ??= [];
        first.followers.push(job);
      }
      return;
    }
    if (key !== "") this.#seen.set(key, job);
    if (this.running < this.#options.concurrency) this.#run(job);
    else if (this.#waiting.length >= MAX_EXTRA + this.#options.concurrency) {
      this.#settle(job, { ok: false, reason: "overloaded", text: "The worker has no room." });
    } else this.#waiting.push(job);
  }

  /** Nobody waits for this one any more. */
  cancel(session: WorkerSession, tag: Buffer): void {
    const job = this.#open.get(session)?.get(textOf(tag));
    if (job === undefined) return;
    this.#emit({ type: "request:cancelled" });
    job.abort();
  }

  /** A session has lost its broker: what it had in hand has nobody to go to. */
  abandon(session: WorkerSession): void {
    const jobs = this.#open.get(session);
    if (jobs === undefined) return;
    this.#open.delete(session);
    // With an id it goes on: the broker that gets the request anew gets its outcome.
    for (const job of jobs.values()) if (job.key === "") job.abort();
  }

  /** Gives back what has not begun, so that others get it. */
  returnWaiting(): void {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      this.#settle(job, { ok: false, reason: "stopping", text: "The worker is stopping." });
    }
  }

  abortAll(): void {
    for (const jobs of this.#open.values()) for (const job of jobs.values()) job.abort();
  }

  /** Settles when no handler runs. */
  whenIdle(): Promise<void> {
    if (this.running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #openOf(session: WorkerSession): Map<string, Job> {
    let jobs = this.#open.get(session);
    if (jobs === undefined) {
      jobs = new Map();
      this.#open.set(session, jobs);
    }
    return jobs;
  }

  #run(job: Job): void {
    this.running += 1;
    job.running = true;
    let request: unknown = job.delivery.body;
    const { requestCodec } = this.#options;
    if (requestCodec !== undefined) {
      try {
        const { body } = job.delivery;
        if (body.length !== 1) throw new Error(`expected a body of 1 frame; got ${body.length}`);
        request = requestCodec.decode(body[0] as Buffer);
      } catch (error) {
        this.#emit({ type: "request:invalid", error });
        this.#finish(job, failed(error, "The request does not pass the service's codec: "));
        return;
      }
    }
    try {
      const result = this.#handler(request, job);
      if (isPromise(result)) {
        result.then(
          (reply) => this.#replied(job, reply),
          (error: unknown) => this.#threw(job, error),
        );
      } else if (isGenerator(result)) void this.#stream(job, result);
      else this.#replied(job, result);
    } catch (error) {
      this.#threw(job, error);
    }
  }

  #replied(job: Job, reply: unknown): void {
    if (isGenerator(reply)) {
      void this.#stream(job, reply);
      return;
    }
    let body: Body;
    try {
      body = this.#encode(reply);
    } catch (error) {
      this.#threw(job, error);
      return;
    }
    this.#finish(job, { ok: true, body });
  }

  #threw(job: Job, error: unknown): void {
    if (!job.cancelled) this.#emit({ type: "request:failed", error });
    this.#finish(job, failed(error, ""));
  }

  /** Each piece as it comes; 0.1 has one reply only, so there they are joined. */
  async #stream(job: Job, pieces: AsyncGenerator<unknown, unknown>): Promise<void> {
    const joined: Body | undefined = job.delivery.dialect === Dialect.Mdp01 ? [] : undefined;
    // What is sent in pieces cannot be sent again.
    if (job.key !== "") this.#seen.delete(job.key);
    try {
      for (;;) {
        const { value, done } = await pieces.next();
        if (done === true) {
          const last = value === undefined ? [] : this.#encode(value);
          this.#finish(job, { ok: true, body: joined === undefined ? last : [...joined, ...last] });
          return;
        }
        const body = this.#encode(value);
        if (joined !== undefined) joined.push(...body);
        else if (job.cancelled || !job.session.partial(job.delivery, body)) {
          await pieces.return(undefined);
          this.#finish(job, { ok: true, body: [] });
          return;
        }
      }
    } catch (error) {
      this.#threw(job, error);
    }
  }

  #encode(reply: unknown): Body {
    const { replyCodec } = this.#options;
    const message = replyCodec === undefined ? toMessage(reply) : replyCodec.encode(reply);
    return (Array.isArray(message) ? message : [message]) as Body;
  }

  #finish(job: Job, outcome: Outcome): void {
    this.running -= 1;
    if (job.key !== "" && this.#seen.get(job.key) === job) {
      const kept = outcome.ok && !job.cancelled && this.#seen.grow(bytesOf(outcome.body.map(asBuffer)));
      if (kept) job.outcome = outcome;
      else this.#seen.delete(job.key);
    }
    this.#settle(job, outcome);
    if (job.followers !== undefined) {
      for (const follower of job.followers) this.#settle(follower, outcome);
      job.followers = undefined;
    }
    while (this.running < this.#options.concurrency) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      if (next.cancelled) this.#settle(next, { ok: false, reason: "worker-failed", text: "Cancelled." });
      else this.#run(next);
    }
    if (this.running === 0) this.#whenIdle?.();
  }

  /** The last word on a request, to the broker that gave it. */
  #settle(job: Job, outcome: Outcome): void {
    const { session, delivery } = job;
    let told: boolean;
    if (delivery.dialect === Dialect.Shoal) {
      this.#open.get(session)?.delete(tagOf(delivery));
      told = outcome.ok
        ? session.final(delivery, outcome.body)
        : session.failure(delivery, outcome.reason, outcome.text);
    } else {
      const { ok } = outcome;
      const body = ok ? outcome.body : [ERROR_MARK, Buffer.from(outcome.reason), Buffer.from(outcome.text)];
      told = session.final(delivery, body);
    }
    if (!told) this.counters.stale += 1;
    else if (job.cancelled) this.counters.cancelled += 1;
    else if (outcome.ok) this.counters.answered += 1;
    else this.counters.failed += 1;
  }
}

function tagOf(delivery: Delivery): string {
  return textOf(delivery.envelope[0] ?? EMPTY);
}

function asBuffer(frame: Buffer | string): Buffer {
  return typeof frame === "string" ? Buffer.from(frame) : frame;
}

function failed(error: unknown, before: string): Outcome {
  const text = error instanceof Error ? error.message : String(error);
  return { ok: false, reason: "worker-failed", text: `${before}${text}` };
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Partial<Promise<unknown>> | null | undefined)?.then === "function";
}

function isGenerator(value: unknown): value is AsyncGenerator<unknown, unknown> {
  const generator = value as Partial<AsyncGenerator<unknown>> | null | undefined;
  return typeof generator?.next === "function" && typeof generator[Symbol.asyncIterator] === "function";
}
