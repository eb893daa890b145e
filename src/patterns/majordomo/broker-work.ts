/**
 * A broker's requests, from the client's message to the last word on them.
 *
 *              a worker is free              its answer
 *   queued ------------------------> delivered ------------> done
 *     |  ^                              |
 *     |  +--- the worker was lost <-----+  at most maxDeliveries times
 *     +--- too long, too many, stopping: the client is told -> done
 *
 * A request costs the same whatever the number of services and workers: the queue
 * is a list for each service, and so are the workers that have room.
 */
import { Deadlines } from "../common/deadlines.js";

import { SeenWindow } from "../common/seen-window.js";
import { FAILURES, type FailureReason, toReason } from "../common/service-error.js";
import type { BrokerEvent } from "./broker-events.js";
import type { BrokerLimits } from "./broker-options.js";
import { BrokerRequest, type Client, Group, Service, Stage, type Worker } from "./broker-tables.js";
import { answer, asked, cancellation, delivery, type Frames, oneAnswer, refusal } from "./messages-broker.js";
import { bytesOf, Dialect, EMPTY, failureIn, MAX_TAG, textOf } from "./protocol.js";
import type { RequestCommand } from "./protocol-broker.js";

/** What became of a message: `gone`, no such peer is connected; `full`, it does not read. */
export type SendResult = "sent" | "gone" | "full";

/** What the rules ask of their driver. */
export interface BrokerOutbox {
  /** @param message the first frame is the routing id */
  send(message: Frames): SendResult;
  event(event: BrokerEvent): void;
}

/** Bytes of a received buffer that are kept alive for one that is remembered, at most this many times its own. */
const MAX_WASTE = 2;

const MIDWAY = "A part of the answer went to a connection that is gone.";

export class BrokerWork {
  readonly counters = {
    requests: 0,
    answered: 0,
    failed: 0,
    abandoned: 0,
    redelivered: 0,
    duplicates: 0,
    late: 0,
    repliesDropped: 0,
  };
  readonly services = new Map<string, Service>();
  queued = 0;
  queuedBytes = 0;
  stopping = false;
  readonly #limits: BrokerLimits;
  readonly #outbox: BrokerOutbox;
  readonly #inFlight = new Map<number, BrokerRequest>();
  readonly #seen: SeenWindow<BrokerRequest>;
  /** All that is queued, in the order of its deadlines. */
  readonly #aging = new Deadlines<BrokerRequest>();
  readonly #onWorkerGone: (worker: Worker) => void;
  #tag: number;

  /** @param onWorkerGone a worker's connection was found gone: to be followed by `release` */
  constructor(
    limits: BrokerLimits,
    outbox: BrokerOutbox,
    firstTag: number,
    onWorkerGone: (worker: Worker) => void,
  ) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#seen = new SeenWindow(limits.dedupWindow, limits.dedupBytes);
    this.#tag = firstTag % MAX_TAG;
    this.#onWorkerGone = onWorkerGone;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  nextDeadline(): number | undefined {
    return this.#aging.next();
  }

  /** The service of this name, made if there is room; `undefined`: there are too many. */
  service(frame: Buffer): Service | undefined {
    const name = frame.toString();
    const known = this.services.get(name);
    if (known !== undefined) return known;
    if (this.services.size >= this.#limits.maxServices) return undefined;
    const service = new Service(name, frame);
    this.services.set(name, service);
    return service;
  }

  /** Forgets a service that nobody offers or wants. */
  forget(service: Service): void {
    if (service.workers.size === 0 && service.queue.length === 0) this.services.delete(service.name);
  }

  /** A client asks. @param owner the client, if it is one that heartbeats */
  accept(from: Buffer, command: RequestCommand, owner: Client | undefined, now: number): void {
    const key = command.id.length === 0 ? "" : textOf(command.id);
    if (key !== "" && this.#repeated(from, key, owner)) return;
    this.counters.requests += 1;
    const bytes = bytesOf(command.body);
    const service = this.service(command.service);
    const reason = this.#refuses(service, bytes);
    if (service === undefined || reason !== undefined) {
      this.#refuse(from, command, reason ?? "overloaded");
      if (service !== undefined) this.forget(service);
      return;
    }
    service.requests += 1;
    const { dialect, id, body } = command;
    const request = new BrokerRequest(from, dialect, id, key, service, body, bytes);
    if (key !== "") {
      this.#seen.set(key, request);
      request.owner = owner;
      owner?.requests.set(key, request);
    }
    this.#enqueue(request, now, false);
    this.dispatch(service, now);
  }

  /** A client asks all workers that a service has now. */
  acceptAll(from: Buffer, command: RequestCommand, owner: Client | undefined, now: number): void {
    const key = textOf(command.id);
    if (owner?.groups.has(key) === true) {
      this.counters.duplicates += 1;
      return;
    }
    const service = this.services.get(command.service.toString());
    if (service === undefined || service.workers.size === 0 || this.stopping) {
      this.#outbox.send(asked(from, command.id, []));
      this.#outbox.send(answer(from, Dialect.Shoal, true, command.id, EMPTY, []));
      return;
    }
    const group = new Group(from, command.id, service);
    owner?.groups.set(key, group);
    const workers = [...service.workers];
    this.#outbox.send(
      asked(
        from,
        command.id,
        workers.map((worker) => worker.name),
      ),
    );
    const bytes = bytesOf(command.body);
    const requests = workers.map((worker) => {
      const request = new BrokerRequest(from, Dialect.Shoal, command.id, "", service, command.body, bytes);
      request.group = group;
      group.open.add(request);
      this.counters.requests += 1;
      service.requests += 1;
      return [worker, request] as const;
    });
    for (const [worker, request] of requests) {
      // A worker of shoal's has a queue of its own; a plain one is given one request at a time.
      if (worker.dialect === Dialect.Shoal || worker.free) this.#deliver(worker, request, now);
      else if (worker.pinned.length < this.#limits.maxPinned) {
        request.worker = worker;
        worker.pinned.push(request.queueLink);
        this.#count(request, 1);
      } else this.#fail(request, "overloaded");
    }
  }

  /** The client does not want the answer any more. */
  cancel(key: string, owner: Client): void {
    const request = owner.requests.get(key);
    if (request !== undefined) this.abandon(request, "cancelled");
    const group = owner.groups.get(key);
    if (group === undefined) return;
    owner.groups.delete(key);
    for (const open of [...group.open]) this.abandon(open, "cancelled");
  }

  /** Nobody waits for this request. */
  abandon(request: BrokerRequest, reason: "cancelled" | "client-gone"): void {
    if (request.stage === Stage.Done || request.abandoned) return;
    request.abandoned = true;
    this.#outbox.event({ type: "request:abandoned", service: request.service.name, reason });
    if (request.stage === Stage.Queued) {
      this.counters.abandoned += 1;
      this.#unqueue(request);
      this.#done(request);
      this.forget(request.service);
      return;
    }
    request.owner?.requests.delete(request.key);
    request.owner = undefined;
    const { worker } = request;
    if (worker?.dialect === Dialect.Shoal) this.#outbox.send(cancellation(worker.routingId, request.tag));
  }

  /** A worker answers, or sends a piece of its answer. */
  reply(worker: Worker, tag: number, final: boolean, body: Buffer[], now: number): void {
    const request = this.#inFlight.get(tag);
    if (request === undefined || request.worker !== worker) {
      this.counters.late += 1;
      return;
    }
    if (!final) {
      this.#partial(request, body);
      return;
    }
    // A worker that speaks MDP to this broker tells of a failure as an answer.
    const failure = worker.dialect === Dialect.Shoal ? undefined : failureIn(body);
    if (failure !== undefined) {
      this.failure(worker, tag, failure.reason, failure.text, now);
      return;
    }
    this.#inFlight.delete(tag);
    worker.inFlight.delete(request);
    this.#answered(request, body);
    this.#freed(worker, now);
  }

  /** A worker's handler failed. It is not tried again: that a handler throws is an answer. */
  failure(worker: Worker, tag: number, reason: string, text: string, now: number): void {
    const request = this.#inFlight.get(tag);
    if (request === undefined || request.worker !== worker) {
      this.counters.late += 1;
      return;
    }
    this.#inFlight.delete(tag);
    worker.inFlight.delete(request);
    // A worker that stops gives back what it has not begun, and gets nothing more.
    if (reason === "stopping") {
      worker.draining = true;
      worker.availableLink.unlink();
    }
    if (reason === "stopping" && !request.abandoned && request.group === undefined) {
      request.deliveries -= 1;
      this.#enqueue(request, now, true);
      this.dispatch(request.service, now);
    } else this.#fail(request, toReason(reason), text);
    this.#freed(worker, now);
  }

  /** A worker is gone from its service: what it had goes to others. */
  release(worker: Worker, now: number): void {
    worker.availableLink.unlink();
    for (const request of [...worker.pinned]) {
      request.queueLink.unlink();
      this.#count(request, -1);
      this.#fail(request, "worker-lost");
    }
    // The oldest comes to stand in front, as it did.
    for (const request of [...worker.inFlight].reverse()) {
      worker.inFlight.delete(request);
      this.#inFlight.delete(request.tag);
      this.#lost(request, now);
    }
    this.dispatch(worker.service, now);
  }

  /** Gives a service's waiting requests to its workers with room. */
  dispatch(service: Service, now: number): void {
    const { queue, available } = service;
    while (queue.length > 0) {
      const worker = available.first;
      if (worker === undefined) return;
      const request = queue.first as BrokerRequest;
      this.#unqueue(request);
      this.#deliver(worker, request, now);
    }
  }

  /** A worker has room, maybe. */
  offer(worker: Worker, now: number): void {
    this.#freed(worker, now);
  }

  /** Requests that waited too long. */
  expire(now: number): void {
    for (const request of this.#aging.take(now)) {
      this.#unqueue(request);
      this.#fail(request, request.service.workers.size === 0 ? "no-service" : "expired");
      this.forget(request.service);
    }
  }

  #refuses(service: Service | undefined, bytes: number): FailureReason | undefined {
    if (this.stopping) return "stopping";
    if (service === undefined) return "overloaded";
    const limits = this.#limits;
    if (2 * bytes > limits.maxQueueBytes) return "too-large";
    if (service.queue.length >= limits.maxQueue || this.queuedBytes + bytes > limits.maxQueueBytes)
      return "overloaded";
    return service.workers.size === 0 && !limits.waitForService ? "no-service" : undefined;
  }

  #refuse(to: Buffer, command: RequestCommand, reason: FailureReason): void {
    this.counters.failed += 1;
    this.#outbox.event({ type: "request:failed", service: command.service.toString(), reason });
    if (command.dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    this.#outbox.send(refusal(to, command.dialect, command.id, command.service, reason, FAILURES[reason]));
  }

  /** Whether this id is known: then the client gets the same answer, when it is there. */
  #repeated(from: Buffer, key: string, owner: Client | undefined): boolean {
    const known = owner?.requests.get(key) ?? this.#seen.get(key);
    // What was given up before it came to anybody may be asked anew.
    if (known === undefined || known.abandoned) return false;
    this.counters.duplicates += 1;
    this.#outbox.event({ type: "request:duplicate", service: known.service.name });
    const moved = !known.client.equals(from);
    known.client = from;
    if (known.stage !== Stage.Done && moved && known.passedOn > 0) {
      // Pieces went to where the client was: what follows would not be the whole.
      this.#outbox.send(refusal(from, known.dialect, known.id, known.service.frame, "duplicate", MIDWAY));
      this.abandon(known, "client-gone");
    } else if (known.stage !== Stage.Done) {
      known.owner?.requests.delete(key);
      known.owner = owner;
      owner?.requests.set(key, known);
    } else if (known.answer !== undefined) {
      this.#sendAnswer(known, true, known.answer);
    } else {
      const [reason, text] = known.failure ?? ["duplicate", FAILURES.duplicate];
      this.#outbox.send(refusal(from, known.dialect, known.id, known.service.frame, reason, text));
    }
    return true;
  }

  #enqueue(request: BrokerRequest, now: number, front: boolean): void {
    request.stage = Stage.Queued;
    request.worker = undefined;
    this.#count(request, 1);
    if (front) request.service.queue.unshift(request.queueLink);
    else request.service.queue.push(request.queueLink);
    // What a free worker takes at once has no need of a deadline.
    if (front || request.service.available.length === 0 || request.service.queue.length > 1) {
      this.#aging.set(request.ageLink, now, this.#limits.queueTimeout);
    }
  }

  #unqueue(request: BrokerRequest): void {
    request.queueLink.unlink();
    request.ageLink.unlink();
    this.#count(request, -1);
  }

  #count(request: BrokerRequest, change: 1 | -1): void {
    this.queued += change;
    this.queuedBytes += change * request.bytes;
  }

  #deliver(worker: Worker, request: BrokerRequest, now: number): void {
    const tag = this.#nextTag();
    request.stage = Stage.Delivered;
    request.worker = worker;
    request.tag = tag;
    request.deliveries += 1;
    this.#inFlight.set(tag, request);
    worker.inFlight.add(request);
    // Least recently used: to the end of those that have room, or off the list.
    if (worker.free) worker.service.available.push(worker.availableLink);
    else worker.availableLink.unlink();
    const sent = this.#outbox.send(delivery(worker.routingId, worker.dialect, tag, request.id, request.body));
    if (sent === "sent") return;
    // It never had it: this was no delivery.
    request.deliveries -= 1;
    this.#inFlight.delete(tag);
    worker.inFlight.delete(request);
    worker.draining = true;
    worker.availableLink.unlink();
    if (request.group === undefined) this.#enqueue(request, now, true);
    else this.#fail(request, "worker-lost");
    this.#onWorkerGone(worker);
  }

  #nextTag(): number {
    do this.#tag = this.#tag >= MAX_TAG ? 1 : this.#tag + 1;
    while (this.#inFlight.has(this.#tag));
    return this.#tag;
  }

  #freed(worker: Worker, now: number): void {
    if (!worker.free) return;
    const pinned = worker.pinned.shift();
    if (pinned !== undefined) {
      this.#count(pinned, -1);
      this.#deliver(worker, pinned, now);
      return;
    }
    if (!worker.availableLink.linked) worker.service.available.push(worker.availableLink);
    if (worker.service.queue.length > 0) this.dispatch(worker.service, now);
  }

  #partial(request: BrokerRequest, body: Buffer[]): void {
    if (request.abandoned) return;
    if (request.dialect === Dialect.Mdp01 || request.group !== undefined) {
      request.joinedBytes += bytesOf(body);
      if (request.joinedBytes <= this.#limits.maxJoinedBytes) {
        request.joined ??= [];
        for (const frame of body) request.joined.push(frame);
      } else request.joined = undefined;
      return;
    }
    request.passedOn += 1;
    if (!this.#sendAnswer(request, false, body)) this.abandon(request, "client-gone");
  }

  #answered(request: BrokerRequest, body: Buffer[]): void {
    const { service } = request;
    service.replies += 1;
    if (request.abandoned) {
      this.counters.abandoned += 1;
      this.#done(request);
      return;
    }
    if (request.joinedBytes > this.#limits.maxJoinedBytes) {
      this.#fail(request, "too-large");
      return;
    }
    this.counters.answered += 1;
    const whole = request.joined === undefined ? body : [...request.joined, ...body];
    if (request.group !== undefined) {
      this.#member(request, true, whole);
      return;
    }
    this.#sendAnswer(request, true, whole);
    // A plain client knows no ids: nothing of it can be repeated.
    if (request.key !== "" && request.passedOn === 0 && this.#seen.grow(bytesOf(whole))) {
      request.answer = whole.map(owned);
    }
    this.#done(request);
  }

  #sendAnswer(request: BrokerRequest, final: boolean, body: readonly Buffer[]): boolean {
    const { client, dialect, id, service } = request;
    // 0.1 and 0.2 have no answer without a body.
    const frames = body.length === 0 && dialect !== Dialect.Shoal ? [EMPTY] : body;
    const sent = this.#outbox.send(answer(client, dialect, final, id, service.frame, frames));
    if (sent === "sent") return true;
    this.counters.repliesDropped += 1;
    const reason = sent === "gone" ? "client-gone" : "client-full";
    this.#outbox.event({ type: "reply:dropped", service: service.name, reason });
    return false;
  }

  #lost(request: BrokerRequest, now: number): void {
    if (request.abandoned) {
      this.counters.abandoned += 1;
      this.#done(request);
      return;
    }
    // The client has a part of an answer: another worker's would not continue it.
    const again = request.passedOn === 0 && request.group === undefined;
    if (!again || request.deliveries >= this.#limits.maxDeliveries) {
      this.#fail(request, "worker-lost");
      return;
    }
    request.joined = undefined;
    request.joinedBytes = 0;
    this.counters.redelivered += 1;
    const { service, deliveries } = request;
    this.#enqueue(request, now, true);
    this.#outbox.event({ type: "request:redelivered", service: service.name, deliveries });
  }

  #fail(request: BrokerRequest, reason: FailureReason, text: string = FAILURES[reason]): void {
    if (request.abandoned) {
      this.counters.abandoned += 1;
      this.#done(request);
      return;
    }
    const { service, client, dialect, id } = request;
    this.counters.failed += 1;
    service.failures += 1;
    this.#outbox.event({ type: "request:failed", service: service.name, reason });
    request.failure = [reason, text];
    if (request.group !== undefined) {
      this.#member(request, false, [reason, text]);
      return;
    }
    if (dialect === Dialect.Shoal || this.#limits.plainErrors) {
      this.#outbox.send(refusal(client, dialect, id, service.frame, reason, text));
    }
    this.#done(request);
  }

  /** One of the asked is through. */
  #member(request: BrokerRequest, ok: boolean, body: readonly (Buffer | string)[]): void {
    const group = request.group as Group;
    const name = request.worker?.name ?? "";
    this.#outbox.send(oneAnswer(group.client, group.id, name, ok, body));
    this.#done(request);
  }

  #done(request: BrokerRequest): void {
    const { group } = request;
    request.finish();
    if (group === undefined) return;
    group.open.delete(request);
    request.group = undefined;
    if (group.open.size > 0 || request.abandoned) return;
    this.#outbox.send(answer(group.client, Dialect.Shoal, true, group.id, EMPTY, []));
  }
}

/** A frame that keeps no more memory alive than it has bytes, or little more. */
function owned(frame: Buffer): Buffer {
  return frame.buffer.byteLength > MAX_WASTE * frame.length ? Buffer.from(frame) : frame;
}
