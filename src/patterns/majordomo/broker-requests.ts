/**
 * A broker's requests, from their arrival to their end.
 *
 *              a worker is free              its answer
 *   queued ------------------------> delivered ------------> done
 *     |  ^                              |
 *     |  +--- the worker was lost <-----+  at most maxDeliveries times
 *     +--- too long, too many, stopping: an error reply -> done
 *
 * The cost of a request does not depend on the number of queued ones or workers.
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { failure, type HandlerFailure, toReason } from "../../kit/errors.js";
import { MAX_BATCH_BYTES } from "./batch.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import { BrokerReplies } from "./broker-replies.js";
import {
  type BrokerEffects,
  BrokerQueue,
  BrokerRequest,
  type Client,
  type Service,
  Stage,
  type Worker,
} from "./broker-tables.js";
import {
  type Answer,
  type Body,
  type ClientId,
  Dialect,
  EMPTY,
  type Failure,
  MAX_TAG,
  NO_BODY,
  NO_LIMIT,
  NO_PIECES,
  newRequest,
  numberNear,
  type Request,
} from "./protocol.js";
import { RequestMemory } from "./request-memory.js";

export class BrokerRequests {
  readonly queue: BrokerQueue;
  readonly replies: BrokerReplies;
  stopping = false;
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #memory: RequestMemory;
  /** By tag. */
  readonly #delivered = new NumberTable<BrokerRequest>();
  #tag: number;
  /** Unreachable workers, which `release` must follow. */
  readonly gone: Worker[] = [];
  /** Plain clients that left, perhaps with requests. */
  readonly #disconnected = new WeakSet<Buffer>();
  readonly #given = newRequest();

  /** @param firstTag start of the tags */
  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, firstTag: number) {
    this.#limits = limits;
    this.#effects = effects;
    this.#tag = firstTag % MAX_TAG;
    this.queue = new BrokerQueue(limits);
    this.#memory = new RequestMemory(limits.dedupWindow, limits.dedupBytes);
    this.replies = new BrokerReplies(limits, effects, this.#memory);
  }

  get counters(): BrokerReplies["counters"] {
    return this.replies.counters;
  }

  get inFlight(): number {
    return this.#delivered.size;
  }

  /** @param owner the client, if it is shoal's */
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
    else this.queue.add(request, now, false);
  }

  cancel(number: number, owner: Client): void {
    const request = this.#find(number, owner);
    if (request !== undefined) this.#abandon(request, "cancelled");
  }

  /** Its connection ended: answers in pieces cannot continue on another. */
  clientLeft(owner: Client): void {
    for (const request of this.#of(owner)) if (request.passedOn > 0) this.#abandon(request, "client-gone");
  }

  /** @returns whether it had requests, which are dropped */
  clientGone(owner: Client): boolean {
    let hadRequests = false;
    for (const request of this.#of(owner)) if (this.#abandon(request, "client-gone")) hadRequests = true;
    owner.memory?.entries.trim();
    return hadRequests;
  }

  /** Its requests are dropped at the next delivery. */
  plainClientLeft(client: Buffer): void {
    if (this.queue.queued + this.inFlight > 0) this.#disconnected.add(client);
  }

  credit(number: number, bytes: number, owner: Client): void {
    const request = this.#find(number, owner);
    if (request?.stage === Stage.Delivered) this.#grant(request, bytes);
  }

  reply(worker: Worker, { number, final, pieces, body }: Answer, now: number): void {
    const request = this.#deliveredTo(worker, number);
    if (request === undefined) return;
    const complete = pieces < 0 || pieces === request.pieces;
    if (!final) {
      request.pieces = (request.pieces + 1) >>> 0;
      if (request.over !== undefined) return;
      if (complete) this.#piece(request, body);
      else this.#breakOff(request, failure("incomplete"));
      return;
    }
    this.#endDelivery(request);
    worker.answered(now);
    // The worker first: it may be idle until its next request.
    this.offer(worker, now);
    if (complete) this.replies.answer(request, body);
    else this.replies.fail(request, failure("incomplete"));
  }

  /** A handler's error is an answer: it is not retried. */
  failure(worker: Worker, { number, reason: given, text, details }: Failure, now: number): void {
    const request = this.#deliveredTo(worker, number);
    if (request === undefined) return;
    this.#endDelivery(request);
    const reason = toReason(given);
    // A stopping worker returns requests without a handler.
    if (reason === "stopping") this.drains(worker);
    if (reason === "stopping" && request.over === undefined) this.#giveToOthers(request, now);
    else {
      // Not kept: the client may send it again.
      const failed = { reason, text, details };
      if (reason === "duplicate" && request.over === undefined) this.replies.breakOff(request, failed);
      this.replies.fail(request, failed);
    }
    this.offer(worker, now);
  }

  /** The worker gets no more requests. */
  drains(worker: Worker): void {
    worker.drain();
    this.refuseUnserved(worker.service);
  }

  /** A worker was removed: its requests go to others. */
  release(worker: Worker, now: number): void {
    worker.availableLink.unlink();
    // The newest first, so that the oldest ends in front. Prefetched requests were no deliveries.
    const given = [...worker.inFlight] as BrokerRequest[];
    for (let i = given.length - 1; i >= 0; i--) {
      const request = given[i] as BrokerRequest;
      if (i >= worker.concurrency && worker.dialect === Dialect.Shoal) request.deliveries -= 1;
      this.#endDelivery(request);
      this.#lost(request, now);
    }
    this.#dispatch(worker.service, now);
  }

  stop(): void {
    this.stopping = true;
    for (const service of [...this.queue.services.values()]) this.refuseUnserved(service);
  }

  /** While the broker stops, no worker will register: clients must use another broker. */
  refuseUnserved(service: Service): void {
    if (!this.stopping) return;
    for (const worker of service.workers) if (!worker.draining) return;
    for (const request of [...service.queue] as BrokerRequest[]) {
      this.queue.remove(request);
      this.replies.fail(request, failure("stopping"));
    }
    this.queue.forget(service);
  }

  offer(worker: Worker, now: number): void {
    if (!worker.free) return;
    worker.place(false);
    if (worker.service.queue.length > 0) this.#dispatch(worker.service, now);
  }

  expire(now: number): void {
    for (const request of this.queue.takeExpired(now)) {
      this.replies.fail(request, failure(request.service.workers.size === 0 ? "no-service" : "expired"));
      this.queue.forget(request.service);
    }
  }

  #giveToOthers(request: BrokerRequest, now: number): void {
    request.deliveries -= 1;
    this.queue.add(request, now, true);
    this.#dispatch(request.service, now);
    this.refuseUnserved(request.service);
  }

  #dispatch(service: Service, now: number): void {
    const { queue } = service;
    while (queue.length > 0) {
      const worker = service.next;
      if (worker === undefined) return;
      const request = queue.first as BrokerRequest;
      if (request.dialect !== Dialect.Shoal && this.#disconnected.has(request.client)) {
        this.#abandon(request, "client-gone");
        continue;
      }
      this.queue.remove(request);
      this.#deliver(worker, request, now);
    }
  }

  #deliver(worker: Worker, request: BrokerRequest, now: number): void {
    const tag = this.#nextTag();
    request.stage = Stage.Delivered;
    request.worker = worker;
    request.tag = tag;
    request.deliveries += 1;
    this.#delivered.set(tag, request);
    this.queue.deliveredBytes += request.bytes;
    // As in the queue: it may retain a whole batch until its answer.
    if (this.#delivered.size * MAX_BATCH_BYTES > this.#limits.maxQueueBytes) request.own();
    worker.give(request, now);
    const { sequence, memory, time, arrivedAt } = request;
    const given = this.#given;
    given.dialect = worker.dialect;
    given.number = tag;
    given.clientId = request.clientId;
    given.sequence = sequence;
    given.oldest = memory === undefined ? 0 : Math.min(memory.settled, sequence);
    given.attempt = request.deliveries;
    given.time = time === NO_LIMIT ? NO_LIMIT : Math.max(0, Math.ceil(time - (now - arrivedAt)));
    given.headers = worker.dialect === Dialect.Shoal ? request.headers : EMPTY;
    given.body = request.body as Body;
    const sent = this.#effects.toWorker(worker.routingId, given);
    given.headers = EMPTY;
    given.body = NO_BODY;
    if (sent === "sent") return;
    // It was no delivery.
    request.deliveries -= 1;
    this.#endDelivery(request);
    worker.drain();
    this.queue.add(request, now, true);
    this.gone.push(worker);
  }

  #deliveredTo(worker: Worker, tag: number): BrokerRequest | undefined {
    const request = this.#delivered.get(tag);
    if (request?.worker === worker) return request;
    this.counters.late += 1;
    return undefined;
  }

  #endDelivery(request: BrokerRequest): void {
    this.#delivered.delete(request.tag);
    this.queue.deliveredBytes -= request.bytes;
    request.place.unlink();
  }

  #nextTag(): number {
    do this.#tag = this.#tag >= MAX_TAG ? 1 : this.#tag + 1;
    while (this.#delivered.has(this.#tag));
    return this.#tag;
  }

  #piece(request: BrokerRequest, body: Body): void {
    if (request.dialect === Dialect.Mdp01) {
      this.#breakOff(request, NO_PIECES);
      return;
    }
    const passed = this.replies.piece(request, body);
    if (passed === "gone") this.#abandon(request, "client-gone");
    else if (passed !== "passed") this.#breakOff(request, failure(passed));
    // Plain clients grant nothing; maxClientBytes bounds their answers.
    else if (request.dialect !== Dialect.Shoal) this.#grant(request, body.cost);
  }

  #grant({ worker, tag: number }: BrokerRequest, bytes: number): void {
    if (worker?.dialect !== Dialect.Shoal || bytes === 0) return;
    // A worker waits for credit forever: one that cannot be reached counts as lost.
    if (this.#effects.toWorker(worker.routingId, { kind: "credit", number, bytes }) !== "sent")
      this.gone.push(worker);
  }

  /** The delivery ends with the worker's answer. */
  #breakOff(request: BrokerRequest, failed: HandlerFailure): void {
    this.replies.breakOff(request, failed);
    this.#cancelAt(request);
  }

  #cancelAt({ worker, tag: number }: BrokerRequest): void {
    if (worker?.dialect === Dialect.Shoal)
      this.#effects.toWorker(worker.routingId, { kind: "cancel", number });
  }

  #find(number: number, owner: Client): BrokerRequest | undefined {
    const { memory } = owner;
    if (memory === undefined) return undefined;
    const request = memory.entries.get(numberNear(number, memory.newest)) as BrokerRequest | undefined;
    return request?.owner === owner ? request : undefined;
  }

  #of(owner: Client): BrokerRequest[] {
    const known = (owner.memory?.entries.values() ?? []) as BrokerRequest[];
    return known.filter((request) => request.owner === owner);
  }

  /** @returns whether it was a repetition, which is answered */
  #isRepeated(from: Buffer, asked: Request, owner: Client): boolean {
    const { clientId, sequence } = asked;
    const memory = this.#memory.clientOf(clientId as ClientId, owner.memory);
    owner.memory = memory;
    const known = memory.entries.get(sequence) as BrokerRequest | undefined;
    // A request cancelled in the queue may be sent again.
    if (known !== undefined && known.over !== "abandoned") {
      if (this.replies.repeat(known, from, owner)) this.#abandon(known, "client-gone");
      return true;
    }
    if (sequence < memory.settled) {
      // From an earlier connection; the client no longer waits.
      this.counters.duplicates += 1;
      return true;
    }
    this.#memory.settle(memory, asked.oldest);
    return false;
  }

  /** @returns whether it was pending */
  #abandon(request: BrokerRequest, reason: "cancelled" | "client-gone"): boolean {
    if (request.stage === Stage.Done || request.over !== undefined) return false;
    request.over = "abandoned";
    this.#effects.event({ type: "request:abandoned", service: request.service.name, reason });
    if (request.stage === Stage.Queued) {
      this.queue.remove(request);
      this.replies.ended(request);
      this.queue.forget(request.service);
    } else {
      request.owner = undefined;
      this.#cancelAt(request);
    }
    return true;
  }

  #lost(request: BrokerRequest, now: number): void {
    const { deliveries, passedOn, over } = request;
    // Another worker cannot continue an answer in pieces.
    const isFinal = passedOn > 0 || deliveries >= this.#limits.maxDeliveries;
    if (over !== undefined || isFinal) {
      this.replies.fail(request, failure("worker-lost"));
      return;
    }
    request.pieces = 0;
    this.queue.add(request, now, true);
    this.counters.redelivered += 1;
  }
}
