/**
 * A broker's requests, from the client's message to the last word on them.
 *
 *              a worker is free              its answer
 *   queued ------------------------> delivered ------------> done
 *     |  ^                              |
 *     |  +--- the worker was lost <-----+  at most maxDeliveries times
 *     +--- too long, too many, stopping: an error reply -> done
 *
 * A request costs the same whatever the number of services and workers: the queue is a list for each service, and so are
 * the workers that have room.
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { type FailureReason, toReason } from "../kit/errors.js";
import { STREAM_WINDOW } from "../kit/window.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import { BrokerQueue } from "./broker-queue.js";
import { BrokerReplies } from "./broker-replies.js";
import {
  type BrokerEffects,
  BrokerRequest,
  type Client,
  type Service,
  Stage,
  type Worker,
} from "./broker-tables.js";
import { RequestMemory } from "./request-memory.js";
import {
  type Body,
  Dialect,
  EMPTY,
  type Failure,
  failureIn,
  MAX_TAG,
  NO_LIMIT,
  type Reply,
  type Request,
  type RequestId,
} from "./wire.js";

/** ms between two checks whether clients have read. */
const READ_CHECK_INTERVAL = 20;

const NO_ENVELOPE: readonly Buffer[] = [];

export class BrokerRequests {
  readonly queue: BrokerQueue;
  readonly replies: BrokerReplies;
  stopping = false;
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #memory: RequestMemory;
  /** Those that are with workers, by the tags of their deliveries. A tag is not given again before its delivery is over. */
  readonly #delivered = new NumberTable<BrokerRequest>();
  #tag: number;
  readonly #onWorkerGone: (worker: Worker) => void;
  /** Plain clients whose connections ended with requests of theirs in the queue, perhaps. */
  readonly #departed = new WeakSet<Buffer>();
  /** Answers in pieces to clients without credit, whose workers wait until what was passed on is read. */
  readonly #unread = new Set<BrokerRequest>();
  #readCheckAt: number | undefined;

  /**
   * @param firstTag where the tags begin
   * @param bornAt when the broker began
   * @param onWorkerGone a worker's connection was found gone: to be followed by `release`
   */
  constructor(
    limits: MajordomoBrokerLimits,
    effects: BrokerEffects,
    { firstTag, bornAt }: { readonly firstTag: number; readonly bornAt: number },
    onWorkerGone: (worker: Worker) => void,
  ) {
    this.#limits = limits;
    this.#effects = effects;
    this.#tag = firstTag % MAX_TAG;
    this.queue = new BrokerQueue(limits, bornAt);
    this.#memory = new RequestMemory(limits.dedupWindow, limits.dedupBytes);
    this.replies = new BrokerReplies(limits, effects, this.#memory);
    this.#onWorkerGone = onWorkerGone;
  }

  get counters(): BrokerReplies["counters"] {
    return this.replies.counters;
  }

  get inFlight(): number {
    return this.#delivered.size;
  }

  /** A client asks. @param owner the client, if it is one that sends heartbeats */
  accept(from: Buffer, asked: Request, owner: Client | undefined, now: number): void {
    if (owner !== undefined && this.#isRepeated(from, asked, owner)) return;
    this.counters.requests += 1;
    const service = this.queue.service(asked.service);
    const bytes = asked.body.cost + asked.headers.length;
    const reason = this.stopping ? "stopping" : this.queue.refuses(service, bytes);
    if (service === undefined || reason !== undefined) {
      this.replies.refuse(from, asked, reason ?? "overloaded");
      if (service !== undefined) this.queue.forget(service);
      return;
    }
    const request = new BrokerRequest(from, asked, service, now);
    if (owner?.memory !== undefined) {
      request.owner = owner;
      this.#memory.begin(owner.memory, request);
    }
    service.requests += 1;
    const worker = service.queue.length === 0 ? service.next : undefined;
    if (worker !== undefined) this.#deliver(worker, request, now);
    else {
      this.queue.add(request, now, false);
      if (service.workers.size === 0) this.replies.noWorkers(request, true);
    }
  }

  /** The client does not want the answer any more. */
  cancel(id: RequestId, owner: Client): void {
    const request = this.#find(id, owner);
    if (request !== undefined) this.#abandon(request, "cancelled");
  }

  /** A client's connection has ended: an answer of which it has a part cannot go on over another. */
  clientLeft(owner: Client): void {
    for (const request of this.#of(owner)) if (request.passedOn > 0) this.#abandon(request, "client-gone");
  }

  /** A client is gone: its requests are dropped. @returns whether it had any */
  clientGone(owner: Client): boolean {
    let hadRequests = false;
    for (const request of this.#of(owner)) if (this.#abandon(request, "client-gone")) hadRequests = true;
    owner.memory?.entries.trim();
    return hadRequests;
  }

  /** A plain client's connection has ended: what it has in the queue is dropped when its turn comes. */
  plainClientLeft(client: Buffer): void {
    if (this.queue.queued > 0) this.#departed.add(client);
  }

  /** A client's reader wants so many bytes more of an answer in pieces. */
  credit(id: RequestId, bytes: number, owner: Client): void {
    const request = this.#find(id, owner);
    if (request?.stage === Stage.Delivered) this.#grant(request, bytes);
  }

  /** When to check whether clients have read; `undefined`: nothing waits for that. */
  get nextReadCheck(): number | undefined {
    return this.#readCheckAt ?? (this.replies.hasUnsentFailures ? 0 : undefined);
  }

  /** Checks whether clients have read: workers get their credit, and clients hear what they had no room for. */
  checkReaders(now: number): void {
    if (this.#readCheckAt === undefined ? !this.replies.hasUnsentFailures : now < this.#readCheckAt) return;
    this.replies.retry();
    for (const request of this.#unread) {
      const { stage, abandoned, broken, client, ungranted } = request;
      if (stage !== Stage.Delivered || abandoned || broken !== undefined) this.#unread.delete(request);
      else if (this.replies.backlog.readsOn(client)) {
        this.#unread.delete(request);
        request.ungranted = 0;
        this.#grant(request, ungranted);
      }
    }
    this.#readCheckAt = undefined;
    this.#checkReadersSoon(now);
  }

  /** A worker answers, or sends a piece of its answer. */
  reply(worker: Worker, { tag, final, pieces, body }: Reply, now: number): void {
    const request = this.#deliveredTo(worker, tag);
    if (request === undefined) return;
    const complete = pieces < 0 || pieces === request.pieces;
    if (!final) {
      request.pieces = (request.pieces + 1) >>> 0;
      if (complete) this.#piece(request, worker, body, now);
      else if (request.broken === undefined && !request.abandoned) this.#breakOff(request, "incomplete");
      return;
    }
    // A worker that speaks MDP reports a failure as an answer.
    const failure = worker.dialect === Dialect.Shoal ? undefined : failureIn(body);
    if (failure !== undefined) {
      this.failure(worker, { kind: "failure", tag, details: undefined, ...failure }, now);
      return;
    }
    this.#endDelivery(request);
    worker.answered(now);
    // First the worker, which may stand idle until it has the next request: what is sent first is written first.
    this.offer(worker, now);
    if (complete) this.replies.answer(request, body);
    else this.replies.fail(request, "incomplete");
  }

  /** A worker's handler failed. It is not tried again: that a handler throws is an answer. */
  failure(worker: Worker, { tag, reason, text, details }: Failure, now: number): void {
    const request = this.#deliveredTo(worker, tag);
    if (request === undefined) return;
    this.#endDelivery(request);
    // A worker that stops gives back what it has not begun.
    if (reason === "stopping") this.drains(worker);
    const isWanted = !request.abandoned && request.broken === undefined;
    if (reason === "stopping" && isWanted) this.#giveToOthers(request, now);
    else this.replies.fail(request, toReason(reason), text, details);
    this.offer(worker, now);
  }

  /** A worker finishes what it has and gets nothing more. */
  drains(worker: Worker): void {
    worker.drain();
    this.refuseUnserved(worker.service);
  }

  /**
   * A worker gives back a request that it has not begun, since its handlers take long: that was no delivery of it. One that
   * it had a handler for, or has sent pieces of, it may have begun: as if that worker were lost. So a worker that gives
   * back all that it gets ends each request, in place of getting it again and again.
   */
  takeBack(worker: Worker, tag: number, now: number): void {
    const request = this.#deliveredTo(worker, tag);
    if (request === undefined) return;
    this.#endDelivery(request);
    worker.gaveBack();
    worker.place(false);
    const { abandoned, pieces, broken, service } = request;
    if (abandoned) this.replies.abandoned(request);
    else if (pieces > 0 || broken !== undefined || worker.inFlight.length < worker.concurrency)
      this.#lost(request, now);
    else {
      this.#giveToOthers(request, now);
      return;
    }
    this.#dispatch(service, now);
    this.refuseUnserved(service);
  }

  /** A worker is gone from its service: what it had goes to others. */
  release(worker: Worker, now: number): void {
    worker.availableLink.unlink();
    if (worker.service.workers.size === 0) this.queue.lastLeft(worker.service, now);
    // The oldest comes to stand in front, as it did. Those that waited at the worker were no deliveries.
    const given = [...worker.inFlight] as BrokerRequest[];
    for (let i = given.length - 1; i >= 0; i--) {
      const request = given[i] as BrokerRequest;
      if (i >= worker.concurrency && worker.dialect === Dialect.Shoal) request.deliveries -= 1;
      this.#endDelivery(request);
      this.#lost(request, now);
    }
    this.#dispatch(worker.service, now);
  }

  /** Takes nothing new; what is in flight is finished. */
  stop(): void {
    this.stopping = true;
    for (const service of [...this.queue.services.values()]) this.refuseUnserved(service);
  }

  /**
   * Refuses what waits for a service whose workers have left or take nothing more, at a broker that stops: none will
   * register, so another broker is to be asked.
   */
  refuseUnserved(service: Service): void {
    if (!this.stopping) return;
    for (const worker of service.workers) if (!worker.draining) return;
    for (const request of [...service.queue] as BrokerRequest[]) {
      this.queue.remove(request);
      this.replies.fail(request, "stopping");
    }
    this.queue.forget(service);
  }

  /** A worker may have room. */
  offer(worker: Worker, now: number): void {
    if (!worker.free) return;
    worker.place(false);
    if (worker.service.queue.length > 0) this.#dispatch(worker.service, now);
  }

  /** Requests that waited too long. */
  expire(now: number): void {
    for (const request of this.queue.takeExpired(now)) {
      this.replies.fail(request, request.service.workers.size === 0 ? "no-service" : "expired");
      this.queue.forget(request.service);
    }
  }

  /** A worker has given it back, which was no delivery. */
  #giveToOthers(request: BrokerRequest, now: number): void {
    request.deliveries -= 1;
    this.queue.add(request, now, true);
    this.#dispatch(request.service, now);
    this.refuseUnserved(request.service);
  }

  /** Gives a service's waiting requests to its workers with room. */
  #dispatch(service: Service, now: number): void {
    const { queue } = service;
    while (queue.length > 0) {
      const worker = service.next;
      if (worker === undefined) return;
      const request = queue.first as BrokerRequest;
      this.queue.remove(request);
      this.#deliver(worker, request, now);
    }
  }

  /** Gives a worker with room a request. */
  #deliver(worker: Worker, request: BrokerRequest, now: number): void {
    if (request.dialect !== Dialect.Shoal && this.#departed.has(request.client)) {
      request.abandoned = true;
      const service = request.service.name;
      this.#effects.event({ type: "request:abandoned", service, reason: "client-gone" });
      this.replies.abandoned(request);
      return;
    }
    if (request.noWorkers) this.replies.noWorkers(request, false);
    const tag = this.#nextTag();
    request.stage = Stage.Delivered;
    request.worker = worker;
    request.tag = tag;
    request.deliveries += 1;
    this.#delivered.set(tag, request);
    worker.inFlight.push(request.placeLink);
    worker.place(true);
    const { id, memory, time, arrivedAt, headers, body, deliveries: attempt } = request;
    const sent = this.#effects.send(worker.routingId, {
      kind: "request",
      dialect: worker.dialect,
      tag,
      envelope: NO_ENVELOPE,
      id,
      oldest: memory === undefined ? 0 : Math.min(memory.settled, request.sequence),
      attempt,
      time: time === NO_LIMIT ? NO_LIMIT : Math.max(0, Math.ceil(time - (now - arrivedAt))),
      headers: worker.dialect === Dialect.Shoal ? headers : EMPTY,
      body: body as Body,
    });
    if (sent === "sent") return;
    // It never had it: this was no delivery.
    request.deliveries -= 1;
    this.#endDelivery(request);
    worker.drain();
    this.queue.add(request, now, true);
    this.#onWorkerGone(worker);
  }

  /** The request that this worker was given under this tag; without one, what it has sent is late. */
  #deliveredTo(worker: Worker, tag: number): BrokerRequest | undefined {
    const request = this.#delivered.get(tag);
    if (request?.worker === worker) return request;
    this.counters.late += 1;
    return undefined;
  }

  /** The worker does not have it any more. */
  #endDelivery(request: BrokerRequest): void {
    this.#delivered.delete(request.tag);
    request.placeLink.unlink();
  }

  #nextTag(): number {
    do this.#tag = this.#tag >= MAX_TAG ? 1 : this.#tag + 1;
    while (this.#delivered.has(this.#tag));
    return this.#tag;
  }

  #piece(request: BrokerRequest, worker: Worker, body: Body, now: number): void {
    const passed = this.replies.piece(request, body);
    if (passed === "gone") this.#abandon(request, "client-gone");
    else if (passed !== "passed") this.#breakOff(request, passed);
    else if (worker.dialect === Dialect.Shoal && request.dialect !== Dialect.Shoal) {
      request.ungranted += body.cost;
      if (2 * request.ungranted < STREAM_WINDOW || request.abandoned || request.broken !== undefined) return;
      if (request.joined === undefined && !this.replies.backlog.readsOn(request.client)) {
        this.#unread.add(request);
        this.#checkReadersSoon(now);
        return;
      }
      this.#grant(request, request.ungranted);
      request.ungranted = 0;
    }
  }

  #checkReadersSoon(now: number): void {
    if (this.#unread.size > 0 || this.replies.hasUnsentFailures)
      this.#readCheckAt ??= now + READ_CHECK_INTERVAL;
  }

  /** A worker that knows credit may send so many bytes more. */
  #grant({ worker, tag }: BrokerRequest, bytes: number): void {
    if (worker?.dialect !== Dialect.Shoal || bytes === 0) return;
    // Without its credit the worker would wait forever: one that takes nothing any more counts as lost.
    if (this.#effects.send(worker.routingId, { kind: "credit", tag, bytes }) !== "sent")
      this.#onWorkerGone(worker);
  }

  /** An answer in pieces cannot go on. Its delivery is over when the worker has ended it. */
  #breakOff(request: BrokerRequest, reason: FailureReason): void {
    this.replies.breakOff(request, reason);
    this.#cancelAt(request);
  }

  /** Its worker need not answer. */
  #cancelAt({ worker, tag }: BrokerRequest): void {
    if (worker?.dialect === Dialect.Shoal) this.#effects.send(worker.routingId, { kind: "cancel", tag });
  }

  /** A client's request that is known and came from where it is now. */
  #find(id: RequestId, owner: Client): BrokerRequest | undefined {
    owner.memory = this.#memory.clientOf(id, owner.memory);
    const request = owner.memory.entries.get(id.sequence) as BrokerRequest | undefined;
    return request?.owner === owner ? request : undefined;
  }

  #of(owner: Client): BrokerRequest[] {
    const known = (owner.memory?.entries.values() ?? []) as BrokerRequest[];
    return known.filter((request) => request.owner === owner);
  }

  /** Whether this was asked before: then the client gets the same answer, when it is there. */
  #isRepeated(from: Buffer, asked: Request, owner: Client): boolean {
    const id = asked.id as RequestId;
    const memory = this.#memory.clientOf(id, owner.memory);
    owner.memory = memory;
    const known = memory.entries.get(id.sequence) as BrokerRequest | undefined;
    // What was given up before a worker had it may be asked again.
    if (known !== undefined && !known.abandoned) {
      if (this.replies.repeat(known, from, owner)) this.#abandon(known, "client-gone");
      return true;
    }
    if (id.sequence < memory.settled) {
      // It came late, by another way: the client has its answer, or wants none.
      this.replies.duplicate(asked.service.toString());
      return true;
    }
    this.#memory.settle(memory, asked.oldest);
    return false;
  }

  /** No client waits for this request. @returns whether one did, and it had no answer */
  #abandon(request: BrokerRequest, reason: "cancelled" | "client-gone"): boolean {
    if (request.stage === Stage.Done || request.abandoned) return false;
    request.abandoned = true;
    this.#effects.event({ type: "request:abandoned", service: request.service.name, reason });
    if (request.stage === Stage.Queued) {
      this.queue.remove(request);
      this.replies.abandoned(request);
      this.queue.forget(request.service);
    } else {
      request.owner = undefined;
      this.#cancelAt(request);
    }
    return true;
  }

  #lost(request: BrokerRequest, now: number): void {
    const { service, deliveries, passedOn, abandoned, broken } = request;
    // Another worker would not continue an answer of which the client has a part.
    const isFinal = passedOn > 0 || deliveries >= this.#limits.maxDeliveries;
    if (abandoned || broken !== undefined || isFinal) {
      this.replies.fail(request, "worker-lost");
      return;
    }
    request.joined = undefined;
    request.joinedBytes = 0;
    request.pieces = 0;
    request.ungranted = 0;
    this.queue.add(request, now, true);
    this.counters.redelivered += 1;
    this.#effects.event({ type: "request:redelivered", service: service.name, deliveries });
  }
}
