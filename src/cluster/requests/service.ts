/**
 * Services of this node, and the requests of other nodes at them: these wait for a slot, run in a handler, and are
 * answered. Routes announce the services, as they do subscriptions.
 *
 *   CALL ──> queued ──a slot is free──> running ──reply──> replying ──the link has it──> over
 *     │         │ CANCEL, lost, late       │ CANCEL, lost, late: the signal aborts, and the reply is dropped
 *     v         v                          v
 *   refused: stopping, overloaded          over
 *
 * A refused request has not run. A slot is free when the link has the reply: a caller that does not read fills
 * only its own slots.
 */
import { Readable } from "node:stream";
import { thrownText } from "../../core/arguments.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { Link } from "../../core/collections/queues.js";
import { SendCredit } from "../../core/credit.js";
import { AbortedError, ClosedError, InvalidStateError } from "../../core/errors.js";
import { type Clock, Deadlines, type Due } from "../../core/timers.js";
import { ignore } from "../../core/waiter.js";
import {
  type FailureReason,
  failure,
  type HandlerFailure,
  refuse,
  type ServiceError,
} from "../../kit/errors.js";
import { CANCELLED, HandlerJob, HandlerRuntime, type Observed } from "../../kit/handler-runtime.js";
import { MAX_QUEUED_BYTES, MAX_QUEUED_ITEMS } from "../messaging/bounds.js";
import { dataBytes } from "../messaging/items.js";
import type { NodeQueues } from "../messaging/node-queues.js";
import type { RouteDriver } from "../messaging/route-driver.js";
import type { Member } from "../node/member.js";
import type { ServeSettings } from "./options.js";
import {
  MAX_CHECK_AFTER,
  MAX_SERVED,
  type Service,
  type ServiceRequest,
  type ServiceStats,
} from "./types.js";
import {
  type CallItem,
  decodeBody,
  type EncodedBody,
  encodeBody,
  encodeEnd,
  encodeFailure,
  encodePart,
  encodeReply,
  encodeSign,
  type Headers,
  type RequestItem,
  RequestOp,
  type ServiceLoad,
  serviceRoute,
} from "./wire.js";

export interface Served {
  readonly handler: (body: unknown, request: ServiceRequest) => unknown;
  /** Gets raw bytes. */
  readonly isRaw: boolean;
  /** Observers do not see its requests. */
  readonly isInternal?: boolean;
}

const ABORT_REASONS = {
  cancelled: "the caller gave the request up",
  expired: "the caller's time is over",
  lost: "the caller's node is gone",
} as const;
type AbortReason = keyof typeof ABORT_REASONS;

/** `abandoned`: runs, and its caller no longer waits. `replying`: its last item waits for the link. */
type JobState = "queued" | "running" | "abandoned" | "replying" | "over";

export class Job extends HandlerJob implements Due, ServiceRequest {
  readonly from: string;
  readonly item: CallItem;
  readonly service: string;
  readonly method: string;
  readonly headers: Headers;
  /** Both are set before its handler runs. */
  sender: Member = undefined as never;
  body: unknown = undefined;
  readonly owner: ServedService;
  /** Infinite: no limit. */
  readonly until: number;
  readonly link: Link<Job> = new Link<Job>(this);
  deadline = 0;
  state: JobState = "queued";
  /** When a silent caller of a streamed reply has given it up; infinite: never. */
  silentAt = Number.POSITIVE_INFINITY;
  /** Ends a wait for the link. Credit must not: each would queue another part. */
  leave: (() => void) | undefined = undefined;

  constructor(from: string, item: CallItem, owner: ServedService, now: number) {
    super();
    this.from = from;
    this.item = item;
    this.service = item.service;
    const { method, headers, parts, bytes } = item.extras;
    this.method = method;
    this.headers = headers;
    this.owner = owner;
    this.until = item.timeout === 0 ? Number.POSITIVE_INFINITY : now + item.timeout;
    if (parts === 0) return;
    this.credit = new SendCredit(parts, bytes);
    this.heard(now);
  }

  get remaining(): number {
    const left = this.until - this.owner.now();
    return left === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.floor(left));
  }

  /** The caller of a streamed reply waits, and asks again within `MAX_CHECK_AFTER`: two of its questions may be lost. */
  heard(now: number): void {
    if (this.credit !== undefined) this.silentAt = now + 3 * MAX_CHECK_AFTER;
  }

  override abort(reason: unknown): void {
    super.abort(reason);
    this.leave?.();
  }
}

export class ServedService extends HandlerRuntime<Job> implements Service {
  readonly name: string;
  readonly ready: Promise<void>;
  #announced!: (known: Promise<void>) => void;
  /** Settles when no more requests can come, or after a timeout; `undefined`: announced. */
  withdrawn: Promise<void> | undefined;
  readonly #settings: ServeSettings;
  readonly #served: Served;
  readonly #host: RequestServing;
  queuedBytes = 0;
  #isDraining = false;
  handled = 0;
  failed = 0;
  refused = 0;
  abandoned = 0;

  constructor(name: string, settings: ServeSettings, served: Served, host: RequestServing) {
    super(settings.concurrency);
    this.name = name;
    this.#settings = settings;
    this.#served = served;
    this.#host = host;
    this.ready = new Promise((resolve) => {
      this.#announced = resolve;
    });
    this.ready.catch(ignore); // The program may not await it.
  }

  // --- What programs call --------------------------------------------------------------------------------------------

  stats(): ServiceStats {
    const { name, running, queued, queuedBytes, handled, failed, refused, abandoned } = this;
    return { name, running, queued, queuedBytes, handled, failed, refused, abandoned };
  }

  async drain(): Promise<void> {
    this.#host.withdraw(this);
    this.#isDraining = true;
    for (let job = this.queue.shift(); job !== undefined; job = this.queue.shift()) {
      this.queuedBytes -= job.item.size;
      this.#refuseNew(job, "stopping", "the node is draining");
    }
    // Nodes that do not know yet must be refused before this node leaves.
    await this.withdrawn;
    await this.whenIdle();
  }

  async close(): Promise<void> {
    const drained = this.drain();
    this.#host.remove(this);
    await drained;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // --- Requests ------------------------------------------------------------------------------------------------------

  announced(known: Promise<void>): void {
    known.catch(ignore); // `ready` has the error.
    this.#announced(known);
  }

  get load(): ServiceLoad {
    return { busy: this.running + this.queued, slots: this.#settings.concurrency };
  }

  now(): number {
    return this.#host.clock.now();
  }

  receive(job: Job, now: number): void {
    const { maxQueue, maxQueueBytes } = this.#settings;
    const { size } = job.item;
    if (this.#isDraining) this.#refuseNew(job, "stopping", "the node is draining");
    else if (!this.hasSlot && (this.queued >= maxQueue || this.queuedBytes + size > maxQueueBytes)) {
      this.refused += 1;
      this.#refuseNew(job, "overloaded", "too many requests wait");
    } else {
      if (!this.hasSlot) this.queuedBytes += size;
      this.take(job);
      // A handler that answers at once needs no deadline, and cannot be cancelled. It may have removed its caller.
      if (job.state === "running" && this.#host.effects.find(job.from) === undefined)
        this.abandon(job, "lost");
      else if (job.state === "queued" || job.state === "running") this.#host.keep(job, now);
    }
  }

  abandon(job: Job, reason: AbortReason): void {
    job.link.unlink();
    this.abandoned += 1;
    if (job.state === "queued") {
      this.queuedBytes -= job.item.size;
      job.place.unlink();
      this.#over(job);
      return;
    }
    this.#host.forget(job);
    job.state = "abandoned";
    job.abort(new AbortedError(ABORT_REASONS[reason]));
  }

  // --- Handlers --------------------------------------------------------------------------------------------------------

  protected override begin(job: Job): void {
    job.state = "running";
    const sender = this.#host.effects.find(job.from);
    if (sender === undefined) {
      // Without a slot: its link may be full, and then has no room until the caller is back or forgotten.
      this.refuse(job, failure("stopping", "the caller is gone"));
      return;
    }
    job.sender = sender;
    super.begin(job);
  }

  protected override isWanted(job: Job): boolean {
    this.queuedBytes -= job.item.size;
    if (this.now() < job.until) return true;
    this.abandoned += 1;
    this.#over(job);
    return false;
  }

  protected override decode({ item }: Job): unknown {
    return this.#served.isRaw ? item.body : decodeBody(item.form, item.body);
  }

  protected override handle(job: Job, body: unknown): unknown {
    job.body = body;
    return this.#served.handler(body, job);
  }

  protected override properties({ service, method, headers }: Job): Observed {
    return this.#served.isInternal === true ? undefined : { system: "cluster", service, method, headers };
  }

  protected override report({ sender }: Job, error: unknown, isRequest: boolean): void {
    if (!isRequest) this.#host.effects.handlerFailed(sender, error);
  }

  protected override reply(job: Job, value: unknown): void {
    let body: EncodedBody;
    try {
      body = encodeBody(value);
    } catch (error) {
      job.operation?.end(error);
      this.report(job, error, false);
      this.refuse(job, failure("invalid-reply", thrownText(error)));
      return;
    }
    if (this.#ends(job)) return;
    this.handled += 1;
    this.#finish(job, encodeReply(job.item.id, this.#loadAfter(job), body));
  }

  protected override streams({ service, credit }: Job, parts: AsyncIterable<unknown>): SendCredit {
    if (credit === undefined) throw unasked(service, parts);
    return credit;
  }

  protected override part(job: Job, value: unknown): Promise<HandlerFailure | undefined> {
    const body = encodeBody(value);
    job.credit?.sent(dataBytes(body.data));
    return new Promise((resolve) => {
      job.leave = () => resolve(job.state === "running" ? undefined : CANCELLED);
      this.#host.queues.sendLater(job.from, encodePart(job.item.id, body), (result) => {
        if (result !== "sent") job.operation?.end(new Error(`a part of the reply is ${result}`));
        if (result === "too-large")
          this.refuse(job, failure("too-large", "a part of the reply is larger than a message may be"));
        else if (result === "unreachable") this.#over(job);
        else if (result === "dropped") this.#overUnread(job);
        job.leave?.();
      });
    });
  }

  protected override end(job: Job): void {
    if (this.#ends(job)) return;
    this.handled += 1;
    this.#finish(job, encodeEnd(job.item.id, this.#loadAfter(job)));
  }

  protected override refuse(job: Job, { reason, text, details }: HandlerFailure): void {
    if (this.#ends(job)) return;
    this.failed += 1;
    this.#finish(job, encodeFailure(job.item.id, this.#loadAfter(job), reason, text, details));
  }

  // --- Results ---------------------------------------------------------------------------------------------------------

  #ends(job: Job): boolean {
    if (job.state === "running") return false;
    if (job.state === "abandoned") this.#over(job);
    return true;
  }

  #finish(job: Job, item: Buffer): void {
    const { queues } = this.#host;
    this.#host.forget(job);
    job.state = "replying";
    queues.sendLater(job.from, item, (result) => {
      if (result === "too-large") this.#refuseLarge(job, item);
      else if (result === "unreachable") this.#host.count("reply");
      if (result === "dropped") this.#overUnread(job);
      else this.release(job);
    });
  }

  #refuseLarge({ from, item }: Job, { length }: Buffer): void {
    const text = `the reply of ${length} bytes is larger than a message may be`;
    this.#host.refuse(from, item.id, this.load, "too-large", text);
  }

  /** The small refusal may still fit. */
  #overUnread(job: Job): void {
    this.#over(job);
    const text = `its node reads too slowly: at most ${MAX_QUEUED_ITEMS} items of ${MAX_QUEUED_BYTES} bytes may wait for it`;
    const refusal = encodeFailure(job.item.id, this.load, "slow-reader", text);
    this.#host.queues.sendLater(job.from, refusal, ignore);
  }

  #over(job: Job): void {
    this.#host.forget(job);
    this.release(job);
  }

  protected override release(job: Job): void {
    job.state = "over";
    super.release(job);
  }

  #refuseNew(job: Job, reason: FailureReason, text: string): void {
    this.#host.forget(job);
    job.state = "over";
    this.#host.refuse(job.from, job.item.id, this.load, reason, text);
  }

  /** Without the answered request. */
  #loadAfter({ hasSlot }: Job): ServiceLoad {
    const { busy, slots } = this.load;
    return { busy: hasSlot ? busy - 1 : busy, slots };
  }
}

function unasked(service: string, parts: AsyncIterable<unknown>): ServiceError {
  // A stream that is not read keeps its file open, and its error would end the process.
  if (parts instanceof Readable) parts.on("error", ignore).destroy();
  return refuse("invalid-request", service, "the reply comes in parts: it is asked for by requestStream");
}

// --- Requests of other nodes -------------------------------------------------------------------------------

export interface ServingEffects {
  /** A live member, including this node. */
  find(id: string): Member | undefined;
  handlerFailed(caller: Member, error: unknown): void;
  /** Announce services. */
  readonly routes: Pick<RouteDriver, "subscribe" | "unsubscribe">;
}

/** Services of this node, and requests of other nodes at them: by caller and id, with their deadlines. */
export class RequestServing {
  readonly refused: Record<string, number> = {};
  readonly effects: ServingEffects;
  readonly queues: Pick<NodeQueues, "sendLater" | "answer">;
  readonly clock: Clock;
  /** Replaced, not changed. */
  readonly served = new Map<string, ServedService>();
  /** Closed ones whose handlers still run. */
  readonly #leaving = new Set<ServedService>();
  readonly #changed: () => void;
  #isStarted = false;
  /** By caller and id. */
  readonly #jobs = new Map<string, NumberTable<Job>>();
  readonly #deadlines = new Deadlines<Job>();

  /** @param changed called when a service was announced or withdrawn */
  constructor(
    effects: ServingEffects,
    queues: Pick<NodeQueues, "sendLater" | "answer">,
    clock: Clock,
    changed: () => void,
  ) {
    this.effects = effects;
    this.queues = queues;
    this.clock = clock;
    this.#changed = changed;
  }

  /** @throws InvalidStateError `EFSM` */
  serve(name: string, served: Served, settings: ServeSettings): ServedService {
    if (this.served.has(name)) throw new InvalidStateError("EFSM", `this node serves ${name} already`);
    if (this.served.size >= MAX_SERVED)
      throw new InvalidStateError("EFSM", `a node serves ${MAX_SERVED} services at most`);
    const service = new ServedService(name, settings, served, this);
    this.served.set(name, service);
    if (this.#isStarted) this.#announce(service);
    return service;
  }

  /** The node started. */
  begin(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    for (const service of this.served.values()) if (service.withdrawn === undefined) this.#announce(service);
  }

  #announce(service: ServedService): void {
    try {
      service.announced(this.effects.routes.subscribe(serviceRoute(service.name)));
    } catch (error) {
      service.announced(Promise.reject(error));
    }
    this.#changed();
  }

  withdraw(service: ServedService): void {
    const { name, withdrawn } = service;
    if (withdrawn !== undefined) return;
    // It rejects if a node has not acknowledged or the namespace closes: late requests are then refused.
    if (this.#isStarted)
      service.withdrawn = this.effects.routes.unsubscribe(serviceRoute(name)).catch(ignore);
    else {
      service.withdrawn = Promise.resolve();
      service.announced(
        Promise.reject(new ClosedError("EAGAIN", `${name} ended before its node had started`)),
      );
    }
    this.#changed();
  }

  /** Frees the name of a drained service. */
  remove(service: ServedService): void {
    if (this.served.get(service.name) === service) this.served.delete(service.name);
    this.#leaving.add(service);
    void service.whenIdle().then(() => this.#leaving.delete(service));
  }

  /** Whether a handler runs. */
  get isServing(): boolean {
    return this.#all().some(({ running }) => running > 0);
  }

  #all(): ServedService[] {
    return [...this.served.values(), ...this.#leaving];
  }

  async drain(): Promise<void> {
    await Promise.all(this.#all().map((service) => service.drain()));
  }

  abort(error: ClosedError): void {
    for (const service of this.#all()) service.abort(error);
  }

  /** @returns whether it is a caller's */
  onItem(now: number, from: string, item: RequestItem): boolean {
    const job = item.op === RequestOp.CALL ? undefined : this.#jobOf(from, item.id);
    switch (item.op) {
      case RequestOp.CALL:
        this.#onCall(now, from, item);
        return true;
      case RequestOp.CREDIT:
        if (job?.credit === undefined) return true;
        job.heard(now);
        job.credit.granted(item.parts, item.bytes);
        return true;
      case RequestOp.CANCEL:
        job?.owner.abandon(job, "cancelled");
        return true;
      case RequestOp.CHECK:
        job?.heard(now);
        if (job !== undefined) return true;
        this.count("gone");
        this.queues.answer(from, encodeSign(RequestOp.GONE, item.id));
        return true;
      default:
        return false;
    }
  }

  #jobOf(from: string, id: number): Job | undefined {
    return this.#jobs.get(from)?.get(id);
  }

  #onCall(now: number, from: string, item: CallItem): void {
    const service = this.served.get(item.service);
    if (service === undefined)
      this.refuse(from, item.id, { busy: 0, slots: 0 }, "no-service", "this node does not serve it");
    else if (this.#jobOf(from, item.id) !== undefined) this.count("again");
    else service.receive(new Job(from, item, service, now), now);
  }

  onGone(from: string): void {
    for (const job of this.#jobs.get(from)?.values() ?? []) job.owner.abandon(job, "lost");
    this.#jobs.delete(from);
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  tick(now: number): void {
    for (const job of this.#deadlines.take(now)) {
      if (now >= job.until) job.owner.abandon(job, "expired");
      // A caller that considered this node lost during a pause sends no credit and no CANCEL.
      else if (now >= job.silentAt) job.owner.abandon(job, "lost");
      else this.#schedule(now, job);
    }
  }

  #schedule(now: number, job: Job): void {
    const next = Math.min(job.until, job.silentAt);
    if (next !== Number.POSITIVE_INFINITY) this.#deadlines.set(job.link, now, Math.round(next - now));
  }

  // --- What services call ----------------------------------------------------------------------------------------------

  /** A taken job is found by its caller and id until it is forgotten. */
  keep(job: Job, now: number): void {
    let jobs = this.#jobs.get(job.from);
    if (jobs === undefined) {
      jobs = new NumberTable();
      this.#jobs.set(job.from, jobs);
    }
    jobs.set(job.item.id, job);
    this.#schedule(now, job);
  }

  forget(job: Job): void {
    job.link.unlink();
    const jobs = this.#jobs.get(job.from);
    // Removing empty maps would dominate a request's cost.
    if (jobs?.get(job.item.id) === job) jobs.delete(job.item.id);
  }

  refuse(from: string, id: number, load: ServiceLoad, reason: FailureReason, text: string): void {
    this.count(reason);
    this.queues.answer(from, encodeFailure(id, load, reason, text));
  }

  count(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }
}
