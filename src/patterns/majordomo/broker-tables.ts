/** State of a broker: its requests, workers and clients, and the services with their queues. */
import { owned } from "../../core/bytes.js";
import { Link, LinkedList } from "../../core/collections/queues.js";
import { Deadlines } from "../../core/timers.js";
import type { FailureReason, HandlerFailure } from "../../kit/errors.js";
import type { DeliveryResult } from "../../sockets/index.js";
import { MAX_BATCH_BYTES } from "./batch.js";
import type { MajordomoBrokerEvent, MajordomoBrokerLimits } from "./broker-options.js";
import {
  type Body,
  type ClientId,
  Dialect,
  EMPTY,
  type Ready,
  type Request,
  type ToClient,
  type ToWorker,
} from "./protocol.js";
import type { ClientMemory, Repeatable } from "./request-memory.js";

/**
 * A failure to send at the end of the turn is reported with `unreachable` or `unanswered`. A message is valid during the
 * call: its object is used again.
 */
export interface BrokerEffects {
  toClient(client: Buffer, message: ToClient): DeliveryResult;
  toWorker(worker: Buffer, message: ToWorker): DeliveryResult;
  /** Unsent bytes for the client; 0 if the engine cannot measure them. */
  queuedBytes(client: Buffer): number;
  event(event: MajordomoBrokerEvent): void;
}

/** A worker with a larger average of ms between answers gets no requests in advance; a quicker one has so many ms of work. */
const QUICK = 0.25;
const AHEAD = 4;
const UNKNOWN_GAP = 0.5;
/** Bound of one gap: after it a worker gets nothing in advance for some 70 answers. */
const MAX_GAP = 50;
const GAP_WEIGHT = 0.02;

export const Stage = { Queued: 0, Delivered: 1, Done: 2 } as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** After its end, it has what a repetition gets. */
export class BrokerRequest implements Repeatable {
  memory: ClientMemory | undefined = undefined;
  keptBytes = 0;
  readonly place: Link<Repeatable> = new Link<Repeatable>(this);
  client: Buffer;
  readonly dialect: Dialect;
  /** `undefined` for plain clients. */
  readonly clientId: ClientId | undefined;
  readonly sequence: number;
  readonly service: Service;
  /** Cost while queued. */
  readonly bytes: number;
  body: Body | undefined;
  headers: Buffer;
  /** ms that its client waits, at arrival. */
  readonly time: number;
  stage: Stage = Stage.Queued;
  deliveries = 0;
  tag = 0;
  worker: Worker | undefined = undefined;
  /** The client, if it sends heartbeats. */
  owner: Client | undefined = undefined;
  /** Why the client gets no more of the answer; the worker is busy until its end. */
  over: "abandoned" | FailureReason | undefined = undefined;
  /** Pieces received from the worker. */
  pieces = 0;
  /** Pieces sent to the client. */
  passedOn = 0;
  /** Kept answer. */
  answer: Body | undefined = undefined;
  failure: HandlerFailure | undefined = undefined;
  readonly arrivedAt: number;
  deadline = 0;
  /** Allowed ms in the queue. */
  maxWait = 0;
  /** Created on demand. */
  ageLink: Link<BrokerRequest> | undefined = undefined;

  constructor(client: Buffer, request: Request, service: Service, now: number) {
    this.client = client;
    this.dialect = request.dialect;
    this.clientId = request.clientId;
    this.sequence = request.sequence;
    this.service = service;
    this.body = request.body;
    this.headers = request.headers;
    this.time = request.time;
    this.bytes = request.body.cost + request.headers.length;
    this.arrivedAt = now;
  }

  finish(): void {
    this.stage = Stage.Done;
    this.body = undefined;
    this.headers = EMPTY;
    this.worker = undefined;
    this.owner = undefined;
  }

  own(): void {
    this.body = this.body?.owned();
    this.headers = owned(this.headers);
    this.answer = this.answer?.owned();
  }
}

export class Worker {
  readonly routingId: Buffer;
  readonly key: string;
  readonly dialect: Dialect;
  readonly service: Service;
  readonly concurrency: number;
  readonly capacity: number;
  readonly name: string;
  /** In order of delivery. */
  readonly inFlight = new LinkedList<Repeatable>();
  readonly availableLink: Link<Worker> = new Link<Worker>(this);
  readonly heartbeatLink: Link<Worker> = new Link<Worker>(this);
  heartbeatAt = 0;
  lastSeen: number;
  /** Silence counts while it is busy, too. */
  beatsWhileBusy = false;
  draining = false;
  /** Average ms between answers while it is busy. */
  #gap = UNKNOWN_GAP;
  #answeredAt: number;

  constructor(routingId: Buffer, ready: Ready, service: Service, now: number) {
    this.routingId = routingId;
    this.key = routingId.toString("latin1");
    this.dialect = ready.dialect;
    this.service = service;
    this.concurrency = ready.concurrency;
    this.capacity = ready.capacity;
    this.name = ready.name === "" ? routingId.toString("hex") : ready.name;
    this.lastSeen = now;
    this.#answeredAt = now;
  }

  get free(): boolean {
    return this.inFlight.length < this.capacity && !this.draining;
  }

  /** Lists the worker by a free handler or room in advance. @param last as most recently used */
  place(last: boolean): void {
    const { availableLink: link, service } = this;
    const ahead = this.inFlight.length - this.concurrency;
    const isIdle = ahead < 0;
    if (!this.free || (!isIdle && (this.#gap > QUICK || ahead * this.#gap > AHEAD))) link.unlink();
    else {
      const list = isIdle ? service.available : service.ahead;
      if (last || link.list !== list) list.push(link);
    }
  }

  /** Idle time does not count. */
  give(request: BrokerRequest, now: number): void {
    if (this.inFlight.length === 0) this.#answeredAt = now;
    this.inFlight.push(request.place);
    this.place(true);
  }

  answered(now: number): void {
    const gap = Math.min(now - this.#answeredAt, MAX_GAP);
    this.#answeredAt = now;
    this.#gap += (gap - this.#gap) * GAP_WEIGHT;
  }

  drain(): void {
    this.draining = true;
    this.availableLink.unlink();
  }
}

export class Service {
  readonly name: string;
  readonly frame: Buffer;
  /** In messages to plain clients. */
  readonly address: readonly Buffer[];
  readonly workers = new Set<Worker>();
  /** Workers with a free handler, least recently used first. */
  readonly available = new LinkedList<Worker>();
  /** Busy workers with room for requests in advance. */
  readonly ahead = new LinkedList<Worker>();
  readonly queue = new LinkedList<Repeatable>();
  requests = 0;
  replies = 0;
  failures = 0;

  get next(): Worker | undefined {
    return this.available.first ?? this.ahead.first;
  }

  constructor(name: string, frame: Buffer) {
    this.name = name;
    this.frame = Buffer.from(frame);
    this.address = [this.frame];
  }
}

export class Client {
  routingId: Buffer;
  readonly key: string;
  memory: ClientMemory | undefined = undefined;
  readonly heartbeatLink: Link<Client> = new Link<Client>(this);
  heartbeatAt = 0;
  lastSeen: number;

  constructor(routingId: Buffer, key: string, now: number) {
    this.routingId = routingId;
    this.key = key;
    this.lastSeen = now;
  }
}

// --- Queue -----------------------------------------------------------------------------------------------------------

/**
 * Services of a broker and their queued requests.
 *
 * A request waits for `queueTimeout` if its service has a worker, if a worker had it, or if its client is a plain one,
 * else for `noServiceTimeout`; if the service has a worker by then, for the rest of `queueTimeout`.
 */
export class BrokerQueue {
  readonly services = new Map<string, Service>();
  queued = 0;
  queuedBytes = 0;
  /** Of requests at workers, which are kept for another worker. */
  deliveredBytes = 0;
  readonly #limits: MajordomoBrokerLimits;
  /** Last lookup: members of a batch share the frame. Without it a request costs 5 % more. */
  #frame: Buffer | undefined = undefined;
  #service: Service | undefined = undefined;
  readonly #aging = new Deadlines<BrokerRequest>();

  constructor(limits: MajordomoBrokerLimits) {
    this.#limits = limits;
  }

  /** @returns `undefined` past `maxServices` */
  service(frame: Buffer): Service | undefined {
    if (frame === this.#frame && this.#service !== undefined) return this.#service;
    const name = frame.toString();
    let service = this.services.get(name);
    if (service === undefined) {
      if (this.services.size >= this.#limits.maxServices) return undefined;
      service = new Service(name, frame);
      this.services.set(name, service);
    }
    this.#frame = frame;
    this.#service = service;
    return service;
  }

  /** Has no effect on a service with workers or requests. */
  forget(service: Service): void {
    if (service.workers.size > 0 || service.queue.length > 0) return;
    if (this.services.get(service.name) !== service) return;
    this.services.delete(service.name);
    if (this.#service === service) this.#service = undefined;
  }

  /** Why a request cannot be queued. */
  refuses(service: Service | undefined, bytes: number): FailureReason | undefined {
    if (service === undefined) return "overloaded";
    const { maxQueue, maxQueueBytes, waitForService } = this.#limits;
    if (2 * bytes > maxQueueBytes) return "too-large";
    const bytesNow = this.queuedBytes + this.deliveredBytes;
    const isFull = service.queue.length >= maxQueue && service.next === undefined;
    if (isFull || bytesNow + bytes > maxQueueBytes) return "overloaded";
    return service.workers.size === 0 && !waitForService ? "no-service" : undefined;
  }

  /** @param front returned by a worker */
  add(request: BrokerRequest, now: number, front: boolean): void {
    const { queue } = request.service;
    request.stage = Stage.Queued;
    request.worker = undefined;
    this.queued += 1;
    this.queuedBytes += request.bytes;
    // A queued member of a batch may retain the whole batch.
    if (this.queued * MAX_BATCH_BYTES > this.#limits.maxQueueBytes) request.own();
    if (front) queue.unshift(request.place);
    else queue.push(request.place);
    request.maxWait = front ? this.#limits.queueTimeout : this.#maxWaitOf(request);
    request.ageLink ??= new Link(request);
    this.#aging.set(request.ageLink, now, request.maxWait);
  }

  remove(request: BrokerRequest): void {
    request.place.unlink();
    request.ageLink?.unlink();
    this.queued -= 1;
    this.queuedBytes -= request.bytes;
  }

  nextDeadline(): number | undefined {
    return this.#aging.next();
  }

  *takeExpired(now: number): Generator<BrokerRequest, undefined> {
    const { queueTimeout } = this.#limits;
    for (const request of this.#aging.take(now)) {
      const rest = queueTimeout - request.maxWait;
      if (rest > 0 && request.service.workers.size > 0) {
        request.maxWait = queueTimeout;
        this.#aging.set(request.ageLink as Link<BrokerRequest>, now, rest);
        continue;
      }
      this.remove(request);
      yield request;
    }
    return undefined;
  }

  #maxWaitOf({ dialect, service }: BrokerRequest): number {
    const { queueTimeout, noServiceTimeout } = this.#limits;
    if (dialect !== Dialect.Shoal || service.workers.size > 0) return queueTimeout;
    return Math.min(queueTimeout, noServiceTimeout);
  }
}
