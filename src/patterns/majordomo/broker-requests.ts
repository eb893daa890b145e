/**
 * A broker's requests, from the client's message to the last word on them.
 *
 *              a worker is free              its answer
 *   queued ------------------------> delivered ------------> done
 *     |  ^                              |
 *     |  +--- the worker was lost <-----+  at most maxDeliveries times
 *     +--- too long, too many, stopping: an error reply -> done
 *
 * A request costs the same whatever the number of services and workers: the queue
 * is a list for each service, and so are the workers that have room.
 */

import { readUint16, readUint32 } from "../../core/big-endian.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { costOf } from "../../core/frame-cost.js";
import { type FailureReason, toReason } from "../kit/errors.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import { BrokerQueue } from "./broker-queue.js";
import { BrokerReplies } from "./broker-replies.js";
import { BrokerRuns } from "./broker-runs.js";
import {
  type BrokerEffects,
  BrokerRequest,
  type Client,
  type Service,
  Stage,
  type Worker,
} from "./broker-tables.js";
import type { RequestCommand, RunCommand } from "./client-messages.js";
import {
  CLIENT_ID,
  headersLength,
  isRequestWith,
  memberHead,
  oldestIn,
  runBase,
  sequenceIn,
} from "./header.js";
import { Dialect, EMPTY, failureIn, INITIAL_CREDIT, MAX_TAG, pieceCost, RUN_LEVEL } from "./protocol.js";
import { RequestMemory } from "./request-memory.js";
import { MAX_RUN_BYTES, RunEntry } from "./runs.js";
import { cancellation, credit, delivery, type ReplyCommand, type ReplyRun } from "./worker-messages.js";

/** ms between two looks whether clients have read. */
const READ_CHECK_INTERVAL = 20;

/** What a worker reports of a request that its handler failed. */
export interface WorkerFailure {
  readonly tag: number;
  readonly reason: string;
  readonly text: string;
  readonly details: Buffer | undefined;
}

export class BrokerRequests {
  readonly queue: BrokerQueue;
  stopping = false;
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #memory: RequestMemory;
  readonly replies: BrokerReplies;
  readonly #deliveries: BrokerDeliveries;
  readonly #runs: BrokerRuns;
  readonly #onWorkerGone: (worker: Worker) => void;
  /** Plain clients whose connections ended with requests of theirs in the queue, perhaps. */
  readonly #departed = new WeakSet<Buffer>();
  /** Answers in pieces to clients without credit, whose workers wait until what was passed on is read. */
  readonly #unread = new Set<BrokerRequest>();
  #readCheckAt: number | undefined;

  /**
   * @param bornAt when the broker began
   * @param onWorkerGone a worker's connection was found gone: to be followed by `release`
   */
  constructor(
    limits: MajordomoBrokerLimits,
    effects: BrokerEffects,
    firstTag: number,
    bornAt: number,
    onWorkerGone: (worker: Worker) => void,
  ) {
    this.#limits = limits;
    this.#effects = effects;
    this.queue = new BrokerQueue(limits, bornAt);
    this.#memory = new RequestMemory(limits.dedupWindow, limits.dedupBytes);
    this.#runs = new BrokerRuns(effects, {
      undelivered: (worker, requests) => {
        worker.draining = true;
        worker.unsent.push(...requests);
        worker.availableLink.unlink();
        this.#onWorkerGone(worker);
      },
      unanswered: (client, requests, sent) => this.replies.unanswered(client, requests, sent),
    });
    this.replies = new BrokerReplies(limits, effects, this.#memory, this.#runs);
    this.#deliveries = new BrokerDeliveries(effects, firstTag, this.#runs);
    this.#onWorkerGone = onWorkerGone;
  }

  get counters(): BrokerReplies["counters"] {
    return this.replies.counters;
  }

  get inFlight(): number {
    return this.#deliveries.size;
  }

  /** A client asks. @param owner the client, if it is one that heartbeats */
  accept(from: Buffer, command: RequestCommand, owner: Client | undefined, now: number): void {
    let sequence = 0;
    if (owner !== undefined) {
      sequence = sequenceIn(command.head, CLIENT_ID);
      if (this.#repeated(from, command, sequence, owner)) return;
    }
    this.counters.requests += 1;
    const bytes = costOf(command.frames, command.bodyAt) + headerBytes(command.head);
    const service = this.queue.serviceOf(command);
    const reason = this.stopping ? "stopping" : this.queue.refuses(service, bytes);
    if (service === undefined || reason !== undefined) {
      this.replies.refuse(from, command, reason ?? "overloaded");
      if (service !== undefined) this.queue.forget(service);
      return;
    }
    const request = new BrokerRequest(from, command, service, bytes);
    if (owner?.memory !== undefined) {
      request.owner = owner;
      this.#memory.begin(owner.memory, sequence, request);
    }
    this.#enter(request, now);
  }

  /** A client of shoal's asks several times. */
  acceptRun(from: Buffer, run: RunCommand, owner: Client, now: number): void {
    const { head, index, bodies } = run;
    const base = runBase(head);
    const first = sequenceIn(head, CLIENT_ID);
    const memory = this.#memory.clientOf(head, CLIENT_ID, owner.memory);
    owner.memory = memory;
    this.#memory.settle(memory, oldestIn(head, CLIENT_ID, first));
    // If each held a whole run they would still be as many bytes as may wait; else each has its own.
    const held =
      (this.queue.queued + this.#deliveries.size + index.length / RunEntry.Request) * MAX_RUN_BYTES;
    const isShared = held <= this.#limits.maxQueueBytes;
    const kept = isShared ? head : copyOf(head, 0, head.length);
    let service: Service | undefined;
    let start = 0;
    const { length } = index;
    for (let at = 0; at < length; at += RunEntry.Request) {
      const sequence = base + readUint32(index, at);
      const begin = start;
      const bytes = readUint16(index, at + 4);
      start += bytes;
      const known = memory.entries.get(sequence) as BrokerRequest | undefined;
      if (known !== undefined && !known.abandoned) {
        known.joins = true;
        // The time in the head of one that waits is counted from when that came. One that is answered needs none.
        if (known.runHead === EMPTY && known.stage !== Stage.Done) known.runHead = kept;
        if (this.replies.repeat(known, from, owner)) this.#abandon(known, "client-gone");
        service = undefined;
        continue;
      }
      if (sequence < memory.settled) {
        this.replies.duplicate(run.service.toString());
        continue;
      }
      this.counters.requests += 1;
      service ??= this.queue.serviceOf(run);
      const reason = this.stopping ? "stopping" : this.queue.refuses(service, bytes);
      if (service === undefined || reason !== undefined) {
        const { dialect, service: name } = run;
        this.replies.refuse(
          from,
          { dialect, head: memberHead(head, sequence), service: name },
          reason ?? "overloaded",
        );
        if (service !== undefined) this.queue.forget(service);
        service = undefined;
        continue;
      }
      const request = new BrokerRequest(from, undefined, service, bytes);
      request.joins = true;
      request.runHead = kept;
      if (isShared) {
        request.source = bodies;
        request.from = begin;
        request.to = start;
      } else {
        request.source = copyOf(bodies, begin, start);
        request.to = bytes;
      }
      request.owner = owner;
      this.#memory.begin(memory, sequence, request);
      this.#enter(request, now);
    }
  }

  /** It goes to a worker, or waits for one. */
  #enter(request: BrokerRequest, now: number): void {
    const { service } = request;
    service.requests += 1;
    request.arrivedAt = now;
    const worker = service.queue.length === 0 ? service.next : undefined;
    if (worker !== undefined) {
      this.#deliver(worker, request, now);
      return;
    }
    this.queue.add(request, now, false);
    if (service.workers.size === 0) this.replies.noWorkers(request, true);
  }

  /** The client does not want the answer any more. @param head of the cancelling */
  cancel(head: Buffer, owner: Client): void {
    owner.memory = this.#memory.clientOf(head, CLIENT_ID, owner.memory);
    const request = owner.memory.entries.get(sequenceIn(head, CLIENT_ID)) as BrokerRequest | undefined;
    if (request?.owner === owner) this.#abandon(request, "cancelled");
  }

  /** A client's connection has ended: an answer of which it has a part cannot go on over another. */
  clientLeft(owner: Client): void {
    for (const entry of owner.memory?.entries.values() ?? []) {
      const request = entry as BrokerRequest;
      if (request.owner === owner && request.passedOn > 0) this.#abandon(request, "client-gone");
    }
  }

  /** A client is gone: what it asked for is dropped. @returns whether there was any of it */
  clientGone(owner: Client): boolean {
    let hadRequests = false;
    const abandon = (request: BrokerRequest): void => {
      if (this.#abandon(request, "client-gone")) hadRequests = true;
    };
    for (const entry of owner.memory?.entries.values() ?? []) {
      if ((entry as BrokerRequest).owner === owner) abandon(entry as BrokerRequest);
    }
    owner.memory?.entries.trim();
    return hadRequests;
  }

  /** A plain client's connection has ended: what it has in the queue is dropped when its turn comes. */
  plainClientLeft(client: Buffer): void {
    if (this.queue.queued > 0) this.#departed.add(client);
  }

  /** A client's reader wants so many bytes more of an answer's pieces. @param head of the credit */
  credit(head: Buffer, bytes: number, owner: Client): void {
    owner.memory = this.#memory.clientOf(head, CLIENT_ID, owner.memory);
    const request = owner.memory.entries.get(sequenceIn(head, CLIENT_ID)) as BrokerRequest | undefined;
    if (request?.owner === owner && request.stage === Stage.Delivered) this.#grant(request, bytes);
  }

  /** When there is to be a look whether clients have read; `undefined`: nothing waits for that. */
  get nextReadCheck(): number | undefined {
    return this.#readCheckAt ?? (this.replies.hasUnsentFailures ? 0 : undefined);
  }

  /** Looks whether clients have read: workers get their credit, and clients hear what they had no room for. */
  checkReaders(now: number): void {
    if (this.#readCheckAt === undefined ? !this.replies.hasUnsentFailures : now < this.#readCheckAt) return;
    this.replies.retry();
    for (const request of this.#unread) {
      if (request.stage !== Stage.Delivered || request.abandoned || request.broken !== undefined) {
        this.#unread.delete(request);
      } else if (this.replies.backlog.readsOn(request.client)) {
        this.#unread.delete(request);
        this.#grant(request, request.ungranted);
        request.ungranted = 0;
      }
    }
    this.#readCheckAt = undefined;
    this.#checkReadersSoon(now);
  }

  /** A worker answers, or sends a piece of its answer. */
  reply(worker: Worker, command: ReplyCommand, now: number): void {
    const request = this.#deliveries.of(worker, command.tag);
    if (request === undefined) {
      this.counters.late += 1;
      return;
    }
    const { frames, bodyAt, pieces } = command;
    const complete = pieces < 0 || pieces === request.pieces;
    if (command.kind === "partial") {
      request.pieces = (request.pieces + 1) >>> 0;
      if (complete) this.#piece(request, worker, frames, bodyAt, now);
      else if (request.broken === undefined && !request.abandoned) this.#breakOff(request, "incomplete");
      return;
    }
    // A worker that speaks MDP reports a failure as an answer.
    const failure = worker.dialect === Dialect.Shoal ? undefined : failureIn(frames, bodyAt);
    if (failure !== undefined) {
      this.failure(worker, { tag: command.tag, details: undefined, ...failure }, now);
      return;
    }
    this.#deliveries.end(request);
    worker.answered(now);
    // First the worker, which may stand idle until it has the next request: what is sent first is written first.
    this.offer(worker, now);
    if (complete) this.replies.answer(request, frames, bodyAt);
    else this.replies.fail(request, "incomplete");
  }

  /** A worker answers several requests. */
  replyRun(worker: Worker, { index, bodies }: ReplyRun, now: number): void {
    let from = 0;
    const { length } = index;
    for (let at = 0; at < length; at += RunEntry.Reply) {
      const to = from + readUint16(index, at + 4);
      this.#replyInRun(worker, readUint32(index, at), bodies, from, to, now);
      from = to;
    }
  }

  #replyInRun(worker: Worker, tag: number, bodies: Buffer, from: number, to: number, now: number): void {
    const request = this.#deliveries.of(worker, tag);
    if (request === undefined) {
      this.counters.late += 1;
      return;
    }
    this.#deliveries.end(request);
    worker.answered(now);
    this.offer(worker, now);
    if (request.pieces === 0) this.replies.answerInRun(request, bodies, from, to);
    else this.replies.fail(request, "incomplete");
  }

  /** Sends what was gathered in this turn. */
  flush(): void {
    this.#runs.flush();
  }

  /** A worker's handler failed. It is not tried again: that a handler throws is an answer. */
  failure(worker: Worker, failure: WorkerFailure, now: number): void {
    const { tag, reason, text, details } = failure;
    const request = this.#deliveries.of(worker, tag);
    if (request === undefined) {
      this.counters.late += 1;
      return;
    }
    this.#deliveries.end(request);
    // A worker that stops gives back what it has not begun.
    if (reason === "stopping") this.drains(worker);
    const wanted = !request.abandoned && request.broken === undefined;
    if (reason === "stopping" && wanted) {
      request.deliveries -= 1;
      this.#giveToOthers(request, now);
    } else this.replies.fail(request, toReason(reason), text, details);
    this.offer(worker, now);
  }

  /** A worker finishes what it has, and gets nothing more. */
  drains(worker: Worker): void {
    worker.draining = true;
    worker.availableLink.unlink();
    this.refuseUnserved(worker.service);
  }

  /**
   * A worker gives back a request that it has not begun, since its handlers take long: that was no delivery of it. One that it had a
   * handler for, or has sent pieces of, it may have begun: as if that worker were lost. So a worker that gives back all that it
   * gets ends each request, in place of getting it again and again.
   */
  takeBack(worker: Worker, tag: number, now: number): void {
    const request = this.#deliveries.of(worker, tag);
    if (request === undefined) {
      this.counters.late += 1;
      return;
    }
    this.#deliveries.end(request);
    worker.gaveBack();
    worker.place(false);
    if (request.abandoned) {
      this.replies.abandoned(request);
      this.#dispatch(request.service, now);
      return;
    }
    if (request.pieces > 0 || request.broken !== undefined || worker.inFlight.length < worker.concurrency) {
      this.#lost(request, now);
      this.#dispatch(request.service, now);
      this.refuseUnserved(request.service);
      return;
    }
    request.deliveries -= 1;
    this.#giveToOthers(request, now);
  }

  /** A worker is gone from its service: what it had goes to others. */
  release(worker: Worker, now: number): void {
    worker.availableLink.unlink();
    this.#runs.drop(worker);
    if (worker.service.workers.size === 0) this.queue.lastLeft(worker.service, now);
    // The oldest comes to stand in front, as it did. Those that no handler can have had were no deliveries.
    const unsent = new Set<object>(worker.unsent.splice(0));
    const given = [...worker.inFlight] as BrokerRequest[];
    for (let i = given.length - 1; i >= 0; i--) {
      const request = given[i] as BrokerRequest;
      const waitedThere = i >= worker.concurrency && worker.dialect === Dialect.Shoal;
      const wasSent = !unsent.has(request);
      if (waitedThere || !wasSent) request.deliveries -= 1;
      this.#deliveries.end(request);
      this.#lost(request, now, wasSent);
    }
    this.#dispatch(worker.service, now);
  }

  /** Takes nothing new; what is in flight is finished. */
  stop(): void {
    this.stopping = true;
    for (const service of [...this.queue.services.values()]) this.refuseUnserved(service);
  }

  /**
   * Refuses what waits for a service whose workers have left or take nothing more, at a broker that stops: none will register, so another
   * broker is to be asked.
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

  /** A worker has given it back. */
  #giveToOthers(request: BrokerRequest, now: number): void {
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

  #deliver(worker: Worker, request: BrokerRequest, now: number): void {
    if (request.dialect !== Dialect.Shoal && this.#departed.has(request.client)) {
      request.abandoned = true;
      this.#effects.event({
        type: "request:abandoned",
        service: request.service.name,
        reason: "client-gone",
      });
      this.replies.abandoned(request);
      return;
    }
    if (request.noWorkers) this.replies.noWorkers(request, false);
    if (this.#deliveries.give(worker, request, now)) return;
    this.queue.add(request, now, true);
    this.#onWorkerGone(worker);
  }

  #piece(request: BrokerRequest, worker: Worker, frames: readonly Buffer[], at: number, now: number): void {
    const passed = this.replies.piece(request, frames, at);
    if (passed === "gone") this.#abandon(request, "client-gone");
    else if (passed !== "passed") this.#breakOff(request, passed);
    else if (worker.dialect === Dialect.Shoal && request.dialect !== Dialect.Shoal) {
      request.ungranted += pieceCost(frames, at);
      if (request.ungranted < INITIAL_CREDIT / 2 || request.abandoned || request.broken !== undefined) return;
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
  #grant(request: BrokerRequest, bytes: number): void {
    const { worker } = request;
    if (worker?.dialect !== Dialect.Shoal || bytes === 0) return;
    // Without its credit the worker would wait forever: one that takes nothing any more counts as lost.
    this.#runs.flushWorker(worker);
    if (this.#effects.send(credit(worker.routingId, request.tag, bytes)) !== "sent")
      this.#onWorkerGone(worker);
  }

  /** An answer in pieces cannot go on. Its delivery is over when the worker has ended it. */
  #breakOff(request: BrokerRequest, reason: FailureReason): void {
    this.replies.breakOff(request, reason);
    this.#cancelAt(request);
  }

  /** Its worker need not answer. */
  #cancelAt({ worker, tag }: BrokerRequest): void {
    if (worker?.dialect !== Dialect.Shoal) return;
    this.#runs.flushWorker(worker);
    this.#effects.send(cancellation(worker.routingId, tag));
  }

  /** Whether this was asked before: then the client gets the same answer, when it is there. */
  #repeated(from: Buffer, command: RequestCommand, sequence: number, owner: Client): boolean {
    const memory = this.#memory.clientOf(command.head, CLIENT_ID, owner.memory);
    owner.memory = memory;
    const known = memory.entries.get(sequence) as BrokerRequest | undefined;
    // What was given up before it came to anybody may be asked again.
    if (known !== undefined && !known.abandoned) {
      known.joins = false;
      if (this.replies.repeat(known, from, owner)) this.#abandon(known, "client-gone");
      return true;
    }
    if (sequence < memory.settled) {
      // It came late, by a way of its own: the client has its answer, or wants none.
      this.replies.duplicate(command.service.toString());
      return true;
    }
    this.#memory.settle(memory, oldestIn(command.head, CLIENT_ID, sequence));
    return false;
  }

  /** Nobody waits for this request. */
  /** @returns whether it was wanted, and had no answer */
  #abandon(request: BrokerRequest, reason: "cancelled" | "client-gone"): boolean {
    if (request.stage === Stage.Done || request.abandoned) return false;
    request.abandoned = true;
    this.#effects.event({ type: "request:abandoned", service: request.service.name, reason });
    if (request.stage === Stage.Queued) {
      this.queue.remove(request);
      this.replies.abandoned(request);
      this.queue.forget(request.service);
      return true;
    }
    request.owner = undefined;
    this.#cancelAt(request);
    return true;
  }

  /** @param wasSent `false`: it never left for the worker, and its next delivery is the first */
  #lost(request: BrokerRequest, now: number, wasSent = true): void {
    // The client has a part of an answer: another worker's would not continue it.
    const again = request.passedOn === 0;
    if (
      request.abandoned ||
      request.broken !== undefined ||
      !again ||
      request.deliveries >= this.#limits.maxDeliveries
    ) {
      this.replies.fail(request, "worker-lost");
      return;
    }
    request.joined = undefined;
    request.joinedBytes = 0;
    request.pieces = 0;
    request.ungranted = 0;
    this.queue.add(request, now, true);
    if (!wasSent) return;
    this.counters.redelivered += 1;
    const { service, deliveries } = request;
    this.#effects.event({ type: "request:redelivered", service: service.name, deliveries });
  }
}

/**
 * The requests that are with workers, each by the tag of its delivery. A tag is not
 * given again before its delivery is over.
 */
export class BrokerDeliveries {
  readonly #effects: BrokerEffects;
  readonly #runs: BrokerRuns;
  readonly #byTag = new NumberTable<BrokerRequest>();
  #tag: number;

  /** @param firstTag where the tags begin */
  constructor(effects: BrokerEffects, firstTag: number, runs: BrokerRuns) {
    this.#effects = effects;
    this.#runs = runs;
    this.#tag = firstTag % MAX_TAG;
  }

  get size(): number {
    return this.#byTag.size;
  }

  /** Gives a worker with room a request. @returns whether it has it; if not, its connection is gone */
  give(worker: Worker, request: BrokerRequest, now: number): boolean {
    const tag = this.#nextTag();
    request.stage = Stage.Delivered;
    request.worker = worker;
    request.tag = tag;
    request.deliveries += 1;
    this.#byTag.set(tag, request);
    worker.inFlight.push(request.placeLink);
    worker.place(true);
    const waited = now - request.arrivedAt;
    // A redelivery says which attempt it is.
    const joins = request.source.length > 0 && request.deliveries === 1 && request.memory !== undefined;
    if (joins && worker.level >= RUN_LEVEL && this.#runs.isOn) {
      this.#runs.deliver(worker, request, waited);
      return true;
    }
    this.#runs.flushWorker(worker);
    request.alone();
    const { head, frames, bodyAt } = request;
    const attempt = worker.level > 1 ? request.deliveries : 0;
    const { routingId, dialect } = worker;
    const { reusesHeads } = this.#effects;
    const message = delivery(routingId, dialect, tag, head, frames, bodyAt, attempt, waited, reusesHeads);
    if (this.#effects.send(message) === "sent") return true;
    // It never had it: this was no delivery.
    request.deliveries -= 1;
    this.end(request);
    worker.draining = true;
    worker.availableLink.unlink();
    return false;
  }

  /** What this worker was given under this tag. */
  of(worker: Worker, tag: number): BrokerRequest | undefined {
    const request = this.#byTag.get(tag);
    return request?.worker === worker ? request : undefined;
  }

  /** The worker does not have it any more. */
  end(request: BrokerRequest): void {
    this.#byTag.delete(request.tag);
    request.placeLink.unlink();
  }

  #nextTag(): number {
    do this.#tag = this.#tag >= MAX_TAG ? 1 : this.#tag + 1;
    while (this.#byTag.has(this.#tag));
    return this.#tag;
  }
}

/** Bytes of headers that a request keeps alive. */
function headerBytes(head: Buffer): number {
  return head.length > 0 && isRequestWith(head) ? headersLength(head) : 0;
}

/** Bytes in memory of their own, which holds nothing else: neither what came with them nor a pool. */
function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(to - from);
  bytes.copy(copy, 0, from, to);
  return copy;
}
