/**
 * Requests of a namespace: those of its program, and those of other nodes at its services, with the timer and the items of
 * both state machines.
 *
 *   OutgoingRequests ──> RequestCalls ──CALL──> links ──> RequestServing ──> ServedService ──> handler
 *                   <── reply, failure ───────────────────────────────────────────────────────┘
 */
import { invalidArgument } from "../../core/arguments.js";
import { ClosedError } from "../../core/errors.js";
import { DriverTimer } from "../../core/timers.js";
import { withTimeout } from "../../core/waiter.js";
import { contractHandler, type ServiceContract, type ServiceHandlers } from "../../kit/contract.js";
import type { NodeLinks } from "../messaging/links.js";
import { NodeQueues } from "../messaging/node-queues.js";
import { MessageKind } from "../messaging/parts.js";
import type { Member } from "../node/member.js";
import type { Candidate } from "./balancer.js";
import { type CallsEffects, RequestCalls } from "./calls.js";
import { checkServiceName, type ServeOptions, servingSettings } from "./options.js";
import { OutgoingRequests } from "./outgoing.js";
import { RequestServing, type Served, type ServingEffects } from "./service.js";
import type { RequestsStats, Service, ServiceHandler, ServiceRequest } from "./types.js";
import { decodeRequest } from "./wire.js";

/** `onRoutes` reports changes of the candidates, which do not include this node. */
export interface RequestsEffects
  extends ServingEffects,
    Pick<CallsEffects, "candidates" | "isSettling" | "nameOf" | "report"> {
  readonly id: string;
  readonly links: Pick<NodeLinks, "send" | "room" | "isFull" | "maxItem">;
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
  /** Of all candidates. */
  #version = 0;
  /** `onChanged` is due. */
  #isChanged = false;
  #isClosed = false;

  constructor(effects: RequestsEffects) {
    this.id = effects.id;
    this.#effects = effects;
    this.#queues = new NodeQueues(effects.links, MessageKind.REQUEST, this);
    this.#calls = new RequestCalls({
      ...effects,
      queues: this.#queues,
      candidates: (service) => this.#candidates(service),
      version: () => this.#version,
      refuse: (reason) => this.#serving.count(reason),
      random: Math.random,
      // A listener may abort a request, or close the node: not in the middle of an attempt.
      report: (event) => queueMicrotask(() => effects.report(event)),
    });
    this.outgoing = new OutgoingRequests(this.#calls, this.#timer, (...wanted) => this.#nodesOf(...wanted));
    this.#serving = new RequestServing(effects, this.#queues, this.#timer, () => this.onRoutes());
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
    options: ServeOptions = {},
  ): Service {
    const settings = servingSettings(options);
    if (typeof of === "string") {
      if (typeof handler !== "function")
        throw invalidArgument(`the handler of ${of} must be a function`, handler);
      checkServiceName(of);
      return this.#serving.serve(of, { handler: handler as Served["handler"], isRaw: false }, settings);
    }
    const call = contractHandler<ServiceContract, ServiceRequest>(of, handler as never);
    checkServiceName(of.name);
    const served: Served = {
      isRaw: true,
      handler: (body, request) => call([Buffer.from(request.method), body as Buffer], request),
    };
    return this.#serving.serve(of.name, served, settings);
  }

  /** Serves one of shoal's services, without statistics. @param name begins with `$` */
  serveInternally(name: string, handler: Served["handler"]): Service {
    return this.#serving.serve(name, { handler, isRaw: false, isInternal: true }, servingSettings({}));
  }

  // --- Nodes -----------------------------------------------------------------------------------------------------------

  #nodesOf(service: string, self: boolean): readonly Member[] {
    const candidates = this.#candidates(service).filter(({ distance }) => self || distance > 0);
    return candidates.flatMap(({ id }) => this.#effects.find(id) ?? []);
  }

  #candidates(service: string): readonly Candidate[] {
    const others = this.#effects.candidates(service);
    const own = this.#serving.served.get(service);
    const isServed = own !== undefined && own.withdrawn === undefined;
    return isServed ? [{ id: this.id, distance: 0 }, ...others] : others;
  }

  // --- Events of the namespace -----------------------------------------------------------------------------------------------

  begin(): void {
    this.#serving.begin();
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

  /** Candidates have changed. Waiting requests check after the current work. */
  onRoutes(): void {
    this.#version += 1;
    if (this.#isChanged || this.#calls.waiting === 0) return;
    this.#isChanged = true;
    queueMicrotask(() => {
      this.#isChanged = false;
      this.#calls.onChanged(this.#timer.now());
      this.#timer.update();
    });
  }

  stats(): RequestsStats {
    const refused = { ...this.#serving.refused };
    if (this.#queues.dropped > 0) refused.unread = this.#queues.dropped;
    return {
      ...this.#calls.counts,
      pending: this.outgoing.pending.size,
      pendingBytes: this.outgoing.pending.bytes,
      served: [...this.#serving.served.values()]
        .filter(({ name }) => !name.startsWith("$"))
        .map((service) => service.stats()),
      refused,
    };
  }

  /** Whether a handler runs. */
  get isServing(): boolean {
    return this.#serving.isServing;
  }

  /** Settles when nothing runs, here or for this node's requests. */
  async drain(): Promise<void> {
    await this.#serving.drain();
    await this.outgoing.pending.idle();
  }

  /** @param linger ms for running handlers; -1: no limit */
  async close(linger: number): Promise<void> {
    if (this.#isClosed) return;
    const drained = this.#serving.drain();
    this.#isClosed = true;
    this.#calls.close(() => new ClosedError("EAGAIN", "the node closed while the request waited"));
    this.outgoing.pending.close();
    const isIdle = linger === 0 ? false : await withTimeout(drained, linger);
    if (!isIdle) this.#serving.abort(new ClosedError("EAGAIN", "the node closes"));
    this.#queues.close();
    this.#timer.stop();
  }
}
