/**
 * Served services of a namespace with the requests of other nodes at them, and both state machines' timers and items.
 *
 *   OutgoingRequests ──> RequestCalls ──CALL──> links ──> RequestServing ──> ServedService ──> handler
 *                   <── reply, failure ───────────────────────────────────────────────────────┘
 *
 * Routes announce serving nodes, as they do subscribers.
 */
import { invalidArgument } from "../../core/arguments.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { type Clock, Deadlines, DriverTimer } from "../../core/timers.js";
import { ignore, Waiter, withTimeout } from "../../core/waiter.js";
import type { ServiceContract, ServiceHandlers } from "../../kit/contract.js";
import type { FailureReason } from "../../kit/errors.js";
import type { NodeLinks } from "../messaging/links.js";
import { NodeQueues } from "../messaging/node-queues.js";
import { MessageKind } from "../messaging/parts.js";
import type { RouteDriver } from "../messaging/route-driver.js";
import type { Member } from "../node/member.js";
import type { Candidate } from "./balancer.js";
import { RequestCalls } from "./calls.js";
import { checkServiceName, type ServeOptions, servingSettings } from "./options.js";
import { OutgoingRequests } from "./outgoing.js";
import {
  type AnyHandler,
  byContract,
  byName,
  Job,
  type Served,
  ServedService,
  type ServiceHost,
  type ServingSettings,
} from "./service.js";
import {
  MAX_SERVED,
  type RequestMiddleware,
  type RequestsEvent,
  type RequestsStats,
  type ServeMiddleware,
  type Service,
  type ServiceHandler,
  type ServiceRequest,
  type ServiceStats,
} from "./types.js";
import {
  type CallItem,
  decodeRequest,
  encodeFailure,
  encodeSign,
  type RequestItem,
  RequestOp,
  type ServiceLoad,
  serviceRoute,
} from "./wire.js";

export interface RequestsEffects extends Pick<ServiceHost, "find" | "handlerFailed"> {
  readonly id: string;
  readonly links: Pick<NodeLinks, "send" | "room" | "maxItem">;
  /** Announce services. */
  readonly routes: Pick<RouteDriver, "subscribe" | "unsubscribe">;
  /** Other serving nodes; the same array if unchanged. */
  candidates(service: string): readonly Candidate[];
  /** Whether new nodes' services are unknown. */
  isSettling(): boolean;
  nameOf(id: string): string;
  report(event: RequestsEvent): void;
}

export class Requests {
  /** Of this node. */
  readonly id: string;
  readonly outgoing: OutgoingRequests;
  readonly #effects: RequestsEffects;
  /** Counts this many ms of a pause of the process. */
  readonly #timer = new DriverTimer(1_000);
  readonly #queues: NodeQueues;
  readonly #calls: RequestCalls;
  readonly #serving: RequestServing;
  readonly #served = new Map<string, OwnService>();
  /** Closed ones whose handlers still run. */
  readonly #leaving = new Set<OwnService>();
  #isStarted = false;
  /** `onChanged` is due. */
  #isChanged = false;
  #isClosed = false;
  /** Requests to all nodes, which wait for a change of routes. */
  readonly #changes = new Set<Waiter<void>>();
  readonly #ownCandidates = new WeakMap<readonly Candidate[], readonly Candidate[]>();

  constructor(effects: RequestsEffects) {
    this.id = effects.id;
    this.#effects = effects;
    this.#queues = new NodeQueues(effects.links, MessageKind.REQUEST, this);
    this.#calls = new RequestCalls({
      ...effects,
      queues: this.#queues,
      candidates: (service) => this.#candidates(service),
      refuse: (reason) => this.#serving.count(reason),
      random: Math.random,
      // A listener may abort a request, or close the node: not in the middle of an attempt.
      report: (event) => queueMicrotask(() => effects.report(event)),
    });
    this.outgoing = new OutgoingRequests(this.#calls, this.#timer, (...wanted) => this.#nodesOf(...wanted));
    this.#serving = new RequestServing(
      effects,
      this.#queues,
      this.#timer,
      (name) => this.#served.get(name)?.served,
    );
    this.#timer.hold(false);
    this.#timer.start({
      nextWakeUp: () =>
        Math.min(this.#calls.nextWakeUp() ?? Infinity, this.#serving.nextWakeUp() ?? Infinity),
      tick: (now) => {
        this.#calls.tick(now);
        this.#serving.tick(now);
      },
    });
  }

  // --- Serving ---------------------------------------------------------------------------------------------------------

  /** @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` */
  serve(
    of: string | ServiceContract,
    handler: ServiceHandler<never, never> | ServiceHandlers<ServiceContract, ServiceRequest>,
    options: ServeOptions<never, never> = {},
  ): Service {
    const settings = servingSettings(options);
    const served = typeof of === "string" ? byName(of, handler, settings) : byContract(of, handler, settings);
    const name = typeof of === "string" ? of : of.name;
    checkServiceName(name);
    return this.#serve(name, served, settings);
  }

  /** Serves one of shoal's services, without middleware and statistics. @param name begins with `$` */
  serveInternally(name: string, handler: AnyHandler): Service {
    return this.#serve(name, { handler, isRaw: false, isInternal: true }, servingSettings({}));
  }

  #serve(name: string, served: Served, settings: ServingSettings): OwnService {
    if (this.#served.has(name)) throw new InvalidStateError("EFSM", `this node serves ${name} already`);
    if (this.#served.size >= MAX_SERVED)
      throw new InvalidStateError("EFSM", `a node serves ${MAX_SERVED} services at most`);
    const own = new OwnService(new ServedService(name, settings, served, this.#serving), this);
    this.#served.set(name, own);
    if (this.#isStarted) this.#announce(own);
    return own;
  }

  drainService(own: OwnService): void {
    this.#withdraw(own);
    own.served.drain();
  }

  removeService(own: OwnService): void {
    this.#withdraw(own);
    if (this.#served.get(own.name) === own) this.#served.delete(own.name);
    own.served.drain();
    this.#leaving.add(own);
    void own.served.whenIdle().then(() => this.#leaving.delete(own));
  }

  /**
   * @returns a function that removes it
   * @throws InvalidArgumentError `EINVAL`
   */
  middleware(side: "serve" | "request", call: ServeMiddleware | RequestMiddleware): () => void {
    if (side !== "serve" && side !== "request")
      throw invalidArgument('middleware must be for "serve" or "request"', side);
    if (typeof call !== "function") throw invalidArgument("middleware takes a function", call);
    const of: { middleware: readonly unknown[] } = side === "serve" ? this.#serving : this.outgoing;
    of.middleware = [...of.middleware, call];
    return () => {
      of.middleware = of.middleware.filter((each) => each !== call);
    };
  }

  #announce(own: OwnService): void {
    try {
      own.announced(this.#effects.routes.subscribe(serviceRoute(own.name)));
    } catch (error) {
      own.announced(Promise.reject(error));
    }
    this.onRoutes();
  }

  #withdraw(own: OwnService): void {
    if (own.withdrawn !== undefined) return;
    // It rejects if a node has not acknowledged or the namespace closes: late requests are then refused.
    if (this.#isStarted)
      own.withdrawn = this.#effects.routes.unsubscribe(serviceRoute(own.name)).catch(ignore);
    else {
      own.withdrawn = Promise.resolve();
      own.announced(
        Promise.reject(new ClosedError("EAGAIN", `${own.name} ended before its node had started`)),
      );
    }
    this.onRoutes();
  }

  // --- Nodes -----------------------------------------------------------------------------------------------------------

  /** Waits until new nodes' services are known. */
  async #nodesOf(
    service: string,
    self: boolean,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly Member[]> {
    const until = performance.now() + timeout;
    for (;;) {
      const nodes = this.#candidates(service).flatMap(({ id, distance }) =>
        distance === 0 && !self ? [] : (this.#effects.find(id) ?? []),
      );
      if (nodes.length > 0 || !this.#effects.isSettling()) return nodes;
      const left = timeout < 0 ? -1 : Math.max(0, until - performance.now());
      const late = (): TimeoutError =>
        new TimeoutError("ETIMEDOUT", `${service}: no node serves it within ${timeout} ms`);
      const change: Waiter<void> = new Waiter(left, signal, late, () => this.#changes.delete(change));
      this.#changes.add(change);
      await change.promise;
      if (this.#isClosed) throw new ClosedError("EAGAIN", "the node closed while the request waited");
    }
  }

  #candidates(service: string): readonly Candidate[] {
    const others = this.#effects.candidates(service);
    const own = this.#served.get(service);
    if (own === undefined || own.withdrawn !== undefined) return others;
    let all = this.#ownCandidates.get(others);
    if (all === undefined) {
      all = [{ id: this.id, distance: 0 }, ...others];
      this.#ownCandidates.set(others, all);
    }
    return all;
  }

  // --- Events of the namespace -----------------------------------------------------------------------------------------------

  begin(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    for (const own of this.#served.values()) if (own.withdrawn === undefined) this.#announce(own);
  }

  /** Never throws. */
  onItem(from: string, bytes: Buffer, start = 0, end = bytes.length): void {
    const item = decodeRequest(bytes, start, end);
    if (typeof item === "string") {
      this.#serving.count(item);
      return;
    }
    const now = this.#timer.now();
    if (!this.#serving.onItem(now, from, item)) this.#calls.onItem(now, from, item);
    this.#timer.updateSoon();
  }

  onGone(id: string): void {
    const now = this.#timer.now();
    this.#calls.onGone(now, id);
    this.#serving.onGone(id);
    this.#timer.update();
  }

  onForgotten(id: string): void {
    // Requests that arrived while it was lost here.
    this.#serving.onGone(id);
  }

  /** Waiting requests check after the current work. */
  onRoutes(): void {
    if (this.#isChanged || (this.#calls.waiting === 0 && this.#changes.size === 0)) return;
    this.#isChanged = true;
    queueMicrotask(() => {
      this.#isChanged = false;
      this.#calls.onChanged(this.#timer.now());
      this.#timer.update();
      this.#changed();
    });
  }

  #changed(): void {
    for (const change of this.#changes) change.resolve();
    this.#changes.clear();
  }

  stats(): RequestsStats {
    const refused = { ...this.#serving.refused };
    if (this.#queues.dropped > 0) refused.unread = this.#queues.dropped;
    return {
      ...this.#calls.counts,
      pending: this.outgoing.pending.size,
      pendingBytes: this.outgoing.pending.bytes,
      served: [...this.#served.values()]
        .filter(({ name }) => !name.startsWith("$"))
        .map((own) => own.stats()),
      refused,
    };
  }

  /** Whether a handler runs. */
  get isServing(): boolean {
    for (const { served } of this.#all()) if (served.running > 0) return true;
    return false;
  }

  *#all(): Iterable<OwnService> {
    yield* this.#served.values();
    yield* this.#leaving;
  }

  /** Settles when nothing runs, here or for this node's requests. */
  async drain(): Promise<void> {
    await Promise.all([...this.#all()].map((own) => own.drain()));
    await this.outgoing.pending.idle();
  }

  /** @param linger ms for running handlers; -1: no limit */
  async close(linger: number): Promise<void> {
    if (this.#isClosed) return;
    const drained = [...this.#all()].map((own) => own.drain());
    this.#isClosed = true;
    this.#calls.close(() => new ClosedError("EAGAIN", "the node closed while the request waited"));
    this.outgoing.pending.close();
    this.#changed();
    const isIdle = linger === 0 ? false : await withTimeout(Promise.all(drained), linger);
    const error = new ClosedError("EAGAIN", "the node closes");
    if (!isIdle) for (const own of this.#all()) own.served.abort(error);
    this.#queues.close();
    this.#timer.stop();
  }
}

class OwnService implements Service {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly served: ServedService;
  /** Settles when no more requests can come, or after a timeout; `undefined`: announced. */
  withdrawn: Promise<void> | undefined;
  readonly #requests: Requests;
  #announced!: (known: Promise<void>) => void;

  constructor(served: ServedService, requests: Requests) {
    this.name = served.name;
    this.served = served;
    this.#requests = requests;
    this.ready = new Promise((resolve) => {
      this.#announced = resolve;
    });
    this.ready.catch(() => undefined); // The program may not await it.
  }

  announced(known: Promise<void>): void {
    known.catch(() => undefined); // `ready` has the error.
    this.#announced(known);
  }

  stats(): ServiceStats {
    const { name } = this;
    const { running, queued, queuedBytes, handled, failed, refused, abandoned, keyed } = this.served;
    return { name, running, queued, queuedBytes, handled, failed, refused, abandoned, kept: keyed.size };
  }

  async drain(): Promise<void> {
    this.#requests.drainService(this);
    // Nodes that do not know yet must be refused before this node leaves.
    await this.withdrawn;
    await this.served.whenIdle();
  }

  async close(): Promise<void> {
    this.#requests.removeService(this);
    await this.withdrawn;
    await this.served.whenIdle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

// --- Requests of other nodes -------------------------------------------------------------------------------

/** Requests of other nodes at the services of this one: by caller and id, with their deadlines. */
export class RequestServing implements ServiceHost {
  readonly refused: Record<string, number> = {};
  readonly find: ServiceHost["find"];
  readonly handlerFailed: ServiceHost["handlerFailed"];
  readonly queues: ServiceHost["queues"];
  readonly clock: Clock;
  /** Replaced, not changed. */
  middleware: readonly ServeMiddleware[] = [];
  readonly #serviceOf: (name: string) => ServedService | undefined;
  /** By caller and id. */
  readonly #jobs = new Map<string, NumberTable<Job>>();
  readonly #deadlines = new Deadlines<Job>();

  constructor(
    { find, handlerFailed }: Pick<ServiceHost, "find" | "handlerFailed">,
    queues: ServiceHost["queues"],
    clock: Clock,
    serviceOf: (name: string) => ServedService | undefined,
  ) {
    this.find = find;
    this.handlerFailed = handlerFailed;
    this.queues = queues;
    this.clock = clock;
    this.#serviceOf = serviceOf;
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
    const service = this.#serviceOf(item.service);
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
