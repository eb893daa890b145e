/** Workers and clients of a broker. */

import { LinkedList } from "../../core/collections/ring-buffer.js";
import type { MajordomoBrokerLimits, MajordomoWorkerLeaveReason } from "./broker-options.js";
import type { BrokerRequests } from "./broker-requests.js";
import { type BrokerEffects, Client, Worker } from "./broker-tables.js";
import { DIALECT_NAMES, Dialect, RESERVED_PREFIX, type Ready } from "./protocol.js";

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
export class BrokerWorkers {
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #requests: BrokerRequests;
  readonly #byKey = new Map<string, Worker>();
  /** By routing id: the same object while the peer is connected. */
  readonly #byId = new Map<Buffer, Worker>();
  /** In order of the next heartbeat. */
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
    worker.heartbeatAt = now + this.#limits.heartbeatInterval;
    this.#heartbeats.push(worker.heartbeatLink);
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
      if (!busy && now - worker.lastSeen >= heartbeatInterval * liveness) {
        this.remove(worker, "expired", now);
        continue;
      }
      worker.heartbeatAt = now + heartbeatInterval;
      this.#heartbeats.push(worker.heartbeatLink);
      // To busy workers, too: it proves that the connection works.
      const { routingId, dialect } = worker;
      const sent = this.#effects.toWorker(routingId, { kind: "heartbeat", dialect });
      if (sent === "gone") this.#requests.gone.push(worker);
    }
  }
}

export function isReserved(service: Buffer): boolean {
  return service[0] === RESERVED_BYTE && service.toString().startsWith(RESERVED_PREFIX);
}

const RESERVED_BYTE = RESERVED_PREFIX.charCodeAt(0);

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
export class BrokerClients {
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
    const heartbeat = this.#heartbeats.first?.heartbeatAt;
    const gone = this.#leaving.first?.heartbeatAt;
    if (heartbeat === undefined || gone === undefined) return heartbeat ?? gone;
    return Math.min(heartbeat, gone);
  }

  tick(now: number): void {
    for (let client = this.#leaving.first; client !== undefined; client = this.#leaving.first) {
      if (client.heartbeatAt > now) break;
      this.#remove(client, false);
    }
    const { heartbeatInterval, liveness } = this.#limits;
    for (let client = this.#heartbeats.first; client !== undefined; client = this.#heartbeats.first) {
      if (client.heartbeatAt > now) break;
      if (now - client.lastSeen < heartbeatInterval * liveness) {
        client.heartbeatAt = now + heartbeatInterval;
        this.#heartbeats.push(client.heartbeatLink);
        continue;
      }
      this.#remove(client, true);
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
    client.heartbeatAt = now + this.#limits.heartbeatInterval;
    this.#heartbeats.push(client.heartbeatLink);
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
    client.heartbeatAt = now + this.#limits.heartbeatInterval;
    this.#heartbeats.push(client.heartbeatLink);
    return client;
  }
}
