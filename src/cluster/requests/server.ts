/**
 * Runs a node's handlers for serving.ts: bodies and schemas, signals, streamed replies.
 *
 *   Job ── body decoded ── middleware ── handler ──┬── value ──> reply
 *                                                  ├── async iterable ──> parts, as fast as the caller reads
 *                                                  └── error ──> failure with its code and data, and its message where that is exposed
 */

import { Readable } from "node:stream";
import { isThenable, thrownText } from "../../core/arguments.js";
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { SendCredit } from "../../core/credit.js";
import { begin, isObserved, PROCESS, type ProcessOperation } from "../../core/diagnostics.js";
import type { DriverTimer } from "../../core/driver-timer.js";
import { AbortedError } from "../../core/errors.js";
import { ignore } from "../../core/ignore.js";
import { handlerFailure, isRefusedRequest, refuse, type ServiceError } from "../../patterns/kit/errors.js";
import type { NodeLinks } from "../messaging/links.js";
import type { NodeQueues } from "../messaging/node-queues.js";
import type { RouteDriver } from "../messaging/route-driver.js";
import type { Member } from "../node/member.js";
import type { Candidate } from "./balancer.js";
import { decodeBody, encodeBody, isStreamedBody } from "./body.js";
import type { AnyHandler, Served } from "./handlers.js";
import { type Job, type JobRunner, RequestServing } from "./serving.js";
import type { RequestsEvent, ServeMiddleware, ServiceRequest } from "./types.js";

/** Its signal is created on access. */
class RunningRequest implements ServiceRequest {
  readonly link: Link<RunningRequest> = new Link(this);
  readonly service: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly idempotencyKey: string;
  readonly sender: Member;
  body: unknown;
  readonly #job: Job;
  readonly #timer: DriverTimer;
  #controller: AbortController | undefined = undefined;
  #abortReason: unknown = undefined;
  isAborted = false;
  /** Set while observed. */
  operation: ProcessOperation | undefined = undefined;
  /** Ends a wait for the link. Credit must not: each would queue another part. */
  leave: (() => void) | undefined = undefined;

  constructor(job: Job, sender: Member, body: unknown, timer: DriverTimer) {
    const { service, method, headers, key } = job.item;
    this.service = service;
    this.method = method;
    this.headers = headers;
    this.idempotencyKey = key;
    this.sender = sender;
    this.body = body;
    this.#job = job;
    this.#timer = timer;
  }

  get remaining(): number {
    const left = this.#job.until - this.#timer.now();
    return left === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.floor(left));
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.isAborted) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    if (this.isAborted) return;
    this.isAborted = true;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
    this.#job.credit?.wake();
    this.leave?.();
  }
}

export interface RequestsEffects {
  readonly id: string;
  readonly links: Pick<NodeLinks, "send" | "room">;
  /** Announce services. */
  readonly routes: Pick<RouteDriver, "subscribe" | "unsubscribe">;
  /** Other serving nodes; the same array if unchanged. */
  candidates(service: string): readonly Candidate[];
  /** Whether new nodes' services are unknown. */
  isSettling(): boolean;
  /** A live member, including this node. */
  find(id: string): Member | undefined;
  nameOf(id: string): string;
  report(event: RequestsEvent): void;
  handlerFailed(from: string, error: unknown): void;
}

export class RequestServer implements JobRunner {
  readonly rules: RequestServing;
  readonly #effects: RequestsEffects;
  readonly #timer: DriverTimer;
  readonly #running = new LinkedList<RunningRequest>();
  /** Replaced, not changed. */
  middleware: readonly ServeMiddleware[] = [];

  constructor(effects: RequestsEffects, queues: NodeQueues, timer: DriverTimer) {
    this.rules = new RequestServing(this, queues);
    this.#effects = effects;
    this.#timer = timer;
  }

  start(job: Job): void {
    const sender = this.#effects.find(job.from);
    const { handler, isRaw, isInternal = false } = job.service.context as Served;
    if (sender === undefined) {
      this.#fail(job, "stopping", "the caller is gone");
      return;
    }
    let body: unknown;
    try {
      body = isRaw ? job.item.body : decodeBody(job.item.form, job.item.body);
    } catch (error) {
      this.#fail(job, "invalid-request", thrownText(error));
      return;
    }
    const request = new RunningRequest(job, sender, body, this.#timer);
    job.context = request;
    this.#running.push(request.link);
    let result: unknown;
    let pending: Promise<unknown> | undefined;
    try {
      if (isInternal) result = handler(body, request);
      else if (isObserved(PROCESS)) {
        const { service, method, headers } = request;
        const operation = begin<ProcessOperation>(PROCESS, { system: "cluster", service, method, headers });
        request.operation = operation;
        result = operation.run(() => this.#call(request, handler));
      } else result = this.#call(request, handler);
      // A thenable may throw, or settle twice.
      if (isThenable(result)) pending = Promise.resolve(result);
    } catch (error) {
      this.#threw(job, request, error);
      return;
    }
    if (pending === undefined) this.#settle(job, request, result);
    else
      pending.then(
        (value) => this.#settle(job, request, value),
        (error: unknown) => this.#threw(job, request, error),
      );
  }

  /** Through middleware: the first is the outermost. */
  #call(request: RunningRequest, handler: AnyHandler): unknown {
    if (this.middleware.length === 0) return handler(request.body, request);
    return this.middleware.reduceRight<() => unknown>(
      (next, each) => () =>
        each(request, (...given) => {
          if (given.length > 0) [request.body] = given;
          return next();
        }),
      () => handler(request.body, request),
    )();
  }

  aborted(job: Job, reason: "cancelled" | "expired" | "lost"): void {
    (job.context as RunningRequest | undefined)?.abort(new AbortedError(TEXTS[reason]));
  }

  abortAll(reason: unknown): void {
    for (const request of [...this.#running]) request.abort(reason);
  }

  #settle(job: Job, request: RunningRequest, value: unknown): void {
    try {
      if (isStreamedBody(value)) {
        const { credit } = job;
        if (credit === undefined) throw unasked(request.service, value);
        void this.#stream(job, credit, request, request.operation?.runEach(value) ?? value);
        return;
      }
    } catch (error) {
      this.#threw(job, request, error);
      return;
    }
    request.link.unlink();
    try {
      this.rules.reply(this.#timer.now(), job, encodeBody(value));
      request.operation?.end();
    } catch (error) {
      request.operation?.end(error);
      this.#effects.handlerFailed(job.from, error);
      this.#fail(job, "invalid-reply", thrownText(error));
    }
  }

  /** Never rejects. */
  async #stream(
    job: Job,
    credit: SendCredit,
    request: RunningRequest,
    parts: AsyncIterable<unknown>,
  ): Promise<void> {
    const { rules } = this;
    try {
      for await (const part of parts) {
        if (request.isAborted) break;
        const body = encodeBody(part);
        while (!credit.hasRoom && !request.isAborted) await credit.room();
        if (request.isAborted) break;
        await new Promise<void>((resolve) => {
          request.leave = resolve;
          rules.part(job, body, resolve);
        });
        request.leave = undefined;
        // A part was too large, for example.
        if (job.state !== "running") break;
      }
      request.link.unlink();
      rules.end(this.#timer.now(), job);
      request.operation?.end();
    } catch (error) {
      this.#threw(job, request, error);
    }
  }

  #threw(job: Job, request: RunningRequest, error: unknown): void {
    request.link.unlink();
    request.operation?.end(error ?? new Error("the handler threw no error"));
    // Errors after an abort are not failures.
    if (!isRefusedRequest(error) && !request.isAborted) this.#effects.handlerFailed(job.from, error);
    const { reason, text, details } = handlerFailure(error);
    this.rules.fail(this.#timer.now(), job, reason, text, details);
  }

  #fail(job: Job, reason: ServiceError["reason"], text: string): void {
    this.rules.fail(this.#timer.now(), job, reason, text);
  }
}

function unasked(service: string, parts: AsyncIterable<unknown>): ServiceError {
  // A stream that is not read keeps its file open, and its error would end the process.
  if (parts instanceof Readable) parts.on("error", ignore).destroy();
  return refuse("invalid-request", service, "the reply comes in parts: it is asked for by requestStream");
}

const TEXTS = {
  cancelled: "the caller gave the request up",
  expired: "the caller's time is over",
  lost: "the caller's node is gone",
} as const;
