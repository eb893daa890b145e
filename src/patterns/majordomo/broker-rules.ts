/** A broker's rules (7/MDP, 18/MDP, 8/MMI): its workers, its clients, and its own services. */

import { LinkedList } from "../../core/collections/queues.js";
import type { DeliveryResult } from "../../sockets/index.js";
import type {
  MajordomoBrokerLimits,
  MajordomoBrokerStats,
  MajordomoServiceStats,
  MajordomoWorkerLeaveReason,
} from "./broker-options.js";
import { BrokerRequests } from "./broker-requests.js";
import { type BrokerEffects, Client, Worker } from "./broker-tables.js";
import {
  type Answer,
  type AtBroker,
  DIALECT_NAMES,
  Dialect,
  type Fault,
  type FromWorker,
  type Question,
  RESERVED_PREFIX,
  type Ready,
  type Request,
} from "./protocol.js";

type FromRegistered = Exclude<FromWorker, Ready | Question>;

export class BrokerRules {
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #requests: BrokerRequests;
  readonly #workers: BrokerWorkers;
  readonly #clients: BrokerClients;
  #faults = 0;

  /** @param firstTag random start of delivery numbers, so that answers to an earlier process do not match */
  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, firstTag: number) {
    this.#limits = limits;
    this.#effects = effects;
    this.#requests = new BrokerRequests(limits, effects, firstTag);
    this.#workers = new BrokerWorkers(limits, effects, this.#requests);
    this.#clients = new BrokerClients(limits, effects, this.#requests);
  }

  receive(from: Buffer, message: AtBroker, now: number): void {
    const requests = this.#requests;
    switch (message.kind) {
      case "request":
        this.#onRequest(from, message, now);
        break;
      case "ready":
        if (!this.#workers.ready(from, message, now)) this.#fault(from, "unexpected", message.dialect, now);
        break;
      case "disconnect": {
        const worker = this.#workers.find(from);
        if (worker !== undefined) this.#workers.remove(worker, "disconnect", now);
        break;
      }
      case "cancel":
        requests.cancel(message.number, this.#clients.heard(from, now));
        break;
      case "credit":
        requests.credit(message.number, message.bytes, this.#clients.heard(from, now));
        break;
      case "client-heartbeat":
        this.#clients.heard(from, now);
        this.#effects.toClient(from, { kind: "client-heartbeat" });
        break;
      case "fault":
        this.#fault(from, message.reason, message.worker, now);
        break;
      default: {
        const worker = this.#registered(from, "dialect" in message ? message.dialect : Dialect.Shoal, now);
        if (worker !== undefined) this.#fromWorker(worker, message, now);
      }
    }
    if (requests.gone.length > 0) this.#removeGone(now);
  }

  #fromWorker(worker: Worker, message: FromRegistered, now: number): void {
    const requests = this.#requests;
    switch (message.kind) {
      case "answer":
        requests.reply(worker, message, now);
        break;
      case "failure":
        requests.failure(worker, message, now);
        break;
      case "heartbeat":
        if (worker.inFlight.length > 0) worker.beatsWhileBusy = true;
        this.#workers.heartbeat(worker, now);
        break;
      case "drain":
        requests.drains(worker);
        break;
    }
  }

  nextWakeUp(): number | undefined {
    if (this.#requests.gone.length > 0) return 0;
    const heartbeat = earlier(this.#workers.nextWakeUp(), this.#clients.nextWakeUp());
    return earlier(heartbeat, this.#requests.queue.nextDeadline());
  }

  tick(now: number): void {
    this.#requests.expire(now);
    this.#workers.tick(now);
    this.#clients.tick(now);
    this.#removeGone(now);
  }

  /** A connection ended, and its messages were received. @param peer the Buffer object that they had */
  peerLeft(peer: Buffer, now: number): void {
    const worker = this.#workers.ofConnection(peer);
    if (worker !== undefined) this.#workers.remove(worker, "lost", now);
    else if (!this.#clients.left(peer, now)) this.#requests.plainClientLeft(peer);
    this.#removeGone(now);
  }

  /** A batch for a worker could not be sent. */
  unreachable(peer: Buffer): void {
    const worker = this.#workers.find(peer);
    if (worker !== undefined) this.#requests.gone.push(worker);
  }

  /** A batch of answers could not be sent. */
  unanswered(first: Answer, count: number, sent: DeliveryResult): void {
    this.#requests.replies.unanswered(first, count, sent);
  }

  /** Refuses new requests. */
  drain(): void {
    this.#requests.stop();
  }

  get idle(): boolean {
    return this.#requests.queue.queued === 0 && this.#requests.inFlight === 0;
  }

  disconnectAll(now: number): void {
    this.#requests.stopping = true;
    this.#workers.disconnectAll(now);
  }

  stats(): MajordomoBrokerStats {
    const { counters, inFlight, queue } = this.#requests;
    return {
      ...counters,
      queued: queue.queued,
      queuedBytes: queue.queuedBytes,
      inFlight,
      faults: this.#faults,
      services: queue.services.size,
      workers: this.#workers.size,
      clients: this.#clients.size,
    };
  }

  *services(): Generator<MajordomoServiceStats, undefined> {
    for (const service of this.#requests.queue.services.values()) {
      const { name, workers, queue, requests, replies, failures } = service;
      yield { name, workers: workers.size, queued: queue.length, requests, replies, failures };
    }
    return undefined;
  }

  #onRequest(from: Buffer, request: Request, now: number): void {
    if (isReserved(request.service)) {
      this.#requests.replies.own(from, request, this.#mmiAnswer(request));
      return;
    }
    const owner = request.dialect === Dialect.Shoal ? this.#clients.heard(from, now) : undefined;
    this.#requests.accept(from, request, owner, now);
  }

  /** An unregistered worker gets DISCONNECT. */
  #registered(from: Buffer, dialect: Dialect, now: number): Worker | undefined {
    const worker = this.#workers.find(from);
    if (worker === undefined || worker.dialect !== dialect) {
      this.#fault(from, "unexpected", dialect, now);
      return undefined;
    }
    worker.lastSeen = now;
    return worker;
  }

  #removeGone(now: number): void {
    const { gone } = this.#requests;
    for (let worker = gone.pop(); worker !== undefined; worker = gone.pop())
      this.#workers.remove(worker, "lost", now);
  }

  /** @param dialect of the sending worker */
  #fault(
    from: Buffer,
    reason: Fault["reason"] | "unexpected",
    dialect: Dialect | undefined,
    now: number,
  ): void {
    this.#faults += 1;
    this.#effects.event({ type: "peer:invalid", reason, peer: from });
    if (dialect === undefined) return;
    const worker = this.#workers.find(from);
    if (worker !== undefined) this.#workers.remove(worker, "fault", now);
    this.#effects.toWorker(from, { kind: "disconnect", dialect });
  }

  /**
   * Services of the broker (8/MMI). The last frame of the body is the argument, the first frame of the reply the
   * status:
   *
   *   mmi.service   name    -> 200 available | 404 not
   *   mmi.services          -> 200 | name | workers | queued | … three frames per service, 1,000 services at most
   *   mmi.stats             -> 200 | statistics as JSON
   *   mmi.shoal             -> 200 | ms between heartbeats
   *   others                -> 501
   */
  #mmiAnswer({ service, body }: Request): Buffer[] {
    const { services } = this.#requests.queue;
    switch (service.toString()) {
      case "mmi.service": {
        const asked = services.get(String(body.frames.at(-1)));
        return [status((asked?.workers.size ?? 0) > 0 ? 200 : 404)];
      }
      case "mmi.services": {
        const frames: Buffer[] = [status(200)];
        for (const { frame, workers, queue } of services.values()) {
          if (frames.length > 3 * MAX_LISTED) break;
          frames.push(frame, status(workers.size), status(queue.length));
        }
        return frames;
      }
      case "mmi.stats":
        return [status(200), Buffer.from(JSON.stringify(this.stats()))];
      case "mmi.shoal":
        return [status(200), status(this.#limits.heartbeatInterval)];
      default:
        return [status(501)];
    }
  }
}

/** Maximum services per answer. */
const MAX_LISTED = 1_000;

function status(number: number): Buffer {
  return Buffer.from(String(number));
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined) return other;
  return other === undefined || one < other ? one : other;
}

// --- Workers ---------------------------------------------------------------------------------------------------------

/** Workers per turn: after a restart thousands are due at once, and would delay requests. */
const MAX_BEATS = 64;

/**
 * Workers of a broker (7/MDP and 18/MDP, Opening and Closing, Heartbeating), by routing id.
 *
 *             READY                    DISCONNECT, silence, a lost connection, a fault
 *   unknown ----------> registered ------------------------------------------------------> unknown
 *
 * Silence for `liveness` intervals removes a worker; a busy one only if it sends heartbeats then (the Guide's do not).
 */
class BrokerWorkers {
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #requests: BrokerRequests;
  readonly #byKey = new Map<string, Worker>();
  /** By routing id: the same object while the peer is connected. */
  readonly #byId = new Map<Buffer, Worker>();
  /** In order of the next heartbeat, or check for silence. */
  readonly #heartbeats = new LinkedList<Worker>();

  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, requests: BrokerRequests) {
    this.#limits = limits;
    this.#effects = effects;
    this.#requests = requests;
  }

  get size(): number {
    return this.#byKey.size;
  }

  find(from: Buffer): Worker | undefined {
    return this.#byId.get(from) ?? this.#byKey.get(from.toString("latin1"));
  }

  /** @param id the Buffer object that its messages had */
  ofConnection(id: Buffer): Worker | undefined {
    return this.#byId.get(id);
  }

  /** @returns `false` for a second READY or a reserved name */
  ready(from: Buffer, ready: Ready, now: number): boolean {
    const { dialect, concurrency, capacity } = ready;
    // 18/MDP, Opening and Closing a Connection.
    if (this.find(from) !== undefined || isReserved(ready.service)) return false;
    const full = this.size >= this.#limits.maxWorkers || this.#requests.stopping;
    const service = full ? undefined : this.#requests.queue.service(ready.service);
    if (service === undefined) {
      this.#effects.toWorker(from, { kind: "disconnect", dialect });
      return true;
    }
    const worker = new Worker(from, ready, service, now);
    worker.beatsWhileBusy = dialect === Dialect.Shoal;
    this.#byKey.set(worker.key, worker);
    this.#byId.set(from, worker);
    service.workers.add(worker);
    this.#postpone(worker, now);
    if (service.workers.size === 1) this.#effects.event({ type: "service:started", service: service.name });
    this.#effects.event({
      type: "worker:joined",
      service: service.name,
      worker: worker.name,
      dialect: DIALECT_NAMES[dialect],
      concurrency,
      capacity,
    });
    this.#requests.offer(worker, now);
    return true;
  }

  remove(worker: Worker, reason: MajordomoWorkerLeaveReason, now: number): void {
    if (this.#byKey.get(worker.key) !== worker) return;
    const { service, name } = worker;
    this.#byKey.delete(worker.key);
    this.#byId.delete(worker.routingId);
    service.workers.delete(worker);
    worker.heartbeatLink.unlink();
    const inFlight = worker.inFlight.length;
    this.#requests.release(worker, now);
    // At the end, clients notice that their connections close.
    if (reason !== "stopping") this.#requests.refuseUnserved(service);
    this.#effects.event({ type: "worker:left", service: service.name, worker: name, reason, inFlight });
    if (service.workers.size === 0) {
      this.#effects.event({ type: "service:stopped", service: service.name, queued: service.queue.length });
    }
    this.#requests.queue.forget(service);
  }

  disconnectAll(now: number): void {
    for (const worker of [...this.#byKey.values()]) {
      this.#effects.toWorker(worker.routingId, { kind: "disconnect", dialect: worker.dialect });
      this.remove(worker, "stopping", now);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#heartbeats.first?.heartbeatAt;
  }

  /** Handles up to MAX_BEATS workers. */
  tick(now: number): void {
    const { heartbeatInterval, liveness } = this.#limits;
    for (let looked = 0; looked < MAX_BEATS; looked++) {
      const worker = this.#heartbeats.first;
      if (worker === undefined || worker.heartbeatAt > now) break;
      const busy = worker.inFlight.length > 0 && !worker.beatsWhileBusy;
      if (!busy && now - worker.lastSeen >= heartbeatInterval * liveness) this.remove(worker, "expired", now);
      // shoal's workers get answers to their own heartbeats only.
      else if (worker.dialect === Dialect.Shoal) this.#postpone(worker, now);
      // To busy workers, too: it proves that the connection works.
      else this.heartbeat(worker, now);
    }
  }

  /** Also the answer to one: the worker's interval may be shorter. */
  heartbeat(worker: Worker, now: number): void {
    this.#postpone(worker, now);
    const { routingId, dialect } = worker;
    const sent = this.#effects.toWorker(routingId, { kind: "heartbeat", dialect });
    if (sent === "gone") this.#requests.gone.push(worker);
  }

  #postpone(worker: Worker, now: number): void {
    worker.heartbeatAt = now + this.#limits.heartbeatInterval;
    this.#heartbeats.push(worker.heartbeatLink);
  }
}

export function isReserved(service: Buffer): boolean {
  return service[0] === RESERVED_BYTE && service.toString().startsWith(RESERVED_PREFIX);
}

const RESERVED_BYTE = RESERVED_PREFIX.charCodeAt(0);

// --- Clients ---------------------------------------------------------------------------------------------------------

/** ms for a client to reconnect, which takes 100; handlers of a killed one abort within a second. */
const RETURN_TIME = 750;

/**
 * shoal's clients, which send heartbeats while they wait.
 *
 *            message                    silent for `liveness` intervals
 *   unknown -------> known ----------------------------------------------> gone
 *                     |  its connection ends        RETURN_TIME is over
 *                     +------------------> leaving ----------------------> gone
 *
 * A client that reconnects sends its requests again, and gets those in progress.
 */
class BrokerClients {
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #requests: BrokerRequests;
  readonly #byKey = new Map<string, Client>();
  /** By routing id: the same object while the peer is connected. */
  readonly #byId = new Map<Buffer, Client>();
  readonly #heartbeats = new LinkedList<Client>();
  readonly #leaving = new LinkedList<Client>();

  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, requests: BrokerRequests) {
    this.#limits = limits;
    this.#effects = effects;
    this.#requests = requests;
  }

  get size(): number {
    return this.#byKey.size;
  }

  heard(from: Buffer, now: number): Client {
    const client = this.#byId.get(from) ?? this.#byKey.get(from.toString("latin1")) ?? this.#add(from, now);
    client.lastSeen = now;
    if (client.heartbeatLink.list === this.#leaving) this.#cameBack(client, from, now);
    return client;
  }

  nextWakeUp(): number | undefined {
    return earlier(this.#heartbeats.first?.heartbeatAt, this.#leaving.first?.heartbeatAt);
  }

  tick(now: number): void {
    for (let client = this.#leaving.first; client !== undefined; client = this.#leaving.first) {
      if (client.heartbeatAt > now) break;
      this.#remove(client, false);
    }
    const { heartbeatInterval, liveness } = this.#limits;
    for (let client = this.#heartbeats.first; client !== undefined; client = this.#heartbeats.first) {
      if (client.heartbeatAt > now) break;
      if (now - client.lastSeen < heartbeatInterval * liveness) this.#postpone(client, now);
      else this.#remove(client, true);
    }
  }

  /** @param id the Buffer object that its messages had. @returns whether it was one of these clients */
  left(id: Buffer, now: number): boolean {
    const client = this.#byId.get(id);
    if (client === undefined) return false;
    this.#byId.delete(id);
    client.heartbeatAt = now + RETURN_TIME;
    this.#leaving.push(client.heartbeatLink);
    this.#requests.clientLeft(client);
    return true;
  }

  /** With the same routing id. */
  #cameBack(client: Client, from: Buffer, now: number): void {
    client.routingId = from;
    this.#byId.set(from, client);
    this.#postpone(client, now);
  }

  /** A silent client may be paused: it is notified, and sends its dropped requests again. */
  #remove(client: Client, isSilent: boolean): void {
    client.heartbeatLink.unlink();
    this.#byKey.delete(client.key);
    this.#byId.delete(client.routingId);
    const hadRequests = this.#requests.clientGone(client);
    if (hadRequests && isSilent) this.#effects.toClient(client.routingId, { kind: "forgotten" });
  }

  #add(from: Buffer, now: number): Client {
    const client = new Client(from, from.toString("latin1"), now);
    this.#byKey.set(client.key, client);
    this.#byId.set(from, client);
    this.#postpone(client, now);
    return client;
  }

  #postpone(client: Client, now: number): void {
    client.heartbeatAt = now + this.#limits.heartbeatInterval;
    this.#heartbeats.push(client.heartbeatLink);
  }
}
