/**
 * The workers that a broker knows (7/MDP and 18/MDP, Opening and Closing, Heartbeating).
 *
 *             READY                    DISCONNECT, silence, a lost connection, a fault
 *   unknown ----------> registered ------------------------------------------------------> unknown
 *
 * A worker is known by its routing id. Silence for `liveness` intervals ends it; not
 * while it works, unless it is one that beats while it works (plain workers of the
 * Guide do not).
 */
import { LinkedList } from "../../core/collections/linked-list.js";
import type { WorkerLeaveReason } from "./broker-events.js";
import type { BrokerLimits } from "./broker-options.js";
import type { BrokerOutbox } from "./broker-outbox.js";
import { Worker } from "./broker-tables.js";
import type { BrokerWork } from "./broker-work.js";
import { workerSignal } from "./messages-broker.js";
import { Dialect, RESERVED_PREFIX, serviceNameOf, textOf } from "./protocol.js";
import type { BrokerCommand } from "./protocol-broker.js";

/**
 * Workers looked at in one turn. Thousands that joined at once, after a broker's restart, are due at once: requests would
 * wait until the last of them has its beat. The rest has it a turn later, and keeps that distance from then on.
 */
const MAX_BEATS = 64;

const DIALECT_NAMES = {
  [Dialect.Mdp01]: "0.1",
  [Dialect.Mdp02]: "0.2",
  [Dialect.Shoal]: "shoal",
} as const;

export class BrokerWorkers {
  readonly #limits: BrokerLimits;
  readonly #outbox: BrokerOutbox;
  readonly #work: BrokerWork;
  readonly #byKey = new Map<string, Worker>();
  /** By the routing id's object, which an engine gives again and again as long as the peer is connected. */
  readonly #byId = new Map<Buffer, Worker>();
  /** In the order in which their next beat is due. */
  readonly #beats = new LinkedList<Worker>();

  constructor(limits: BrokerLimits, outbox: BrokerOutbox, work: BrokerWork) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#work = work;
  }

  get size(): number {
    return this.#byKey.size;
  }

  find(from: Buffer): Worker | undefined {
    return this.#byId.get(from) ?? this.#byKey.get(textOf(from));
  }

  /** The worker of this connection. @param id the very object that its messages came with */
  ofConnection(id: Buffer): Worker | undefined {
    return this.#byId.get(id);
  }

  /** @returns whether it may register: no second time, no reserved name */
  ready(from: Buffer, command: BrokerCommand & { kind: "ready" }, now: number): boolean {
    const { dialect, concurrency, capacity } = command;
    // 18/MDP, Opening and Closing a Connection: a second READY, as a reserved name, ends it.
    if (this.find(from) !== undefined || isReserved(command.service)) return false;
    const full = this.size >= this.#limits.maxWorkers || this.#work.stopping;
    const service = full ? undefined : this.#work.queue.service(command.service);
    if (service === undefined) {
      this.#outbox.send(workerSignal(from, dialect, "Disconnect"));
      return true;
    }
    const key = textOf(from);
    const name = command.name === "" ? from.toString("hex") : command.name;
    const beats = dialect === Dialect.Shoal;
    const worker = new Worker(from, key, dialect, service, command, name, now, beats);
    this.#byKey.set(key, worker);
    this.#byId.set(from, worker);
    service.workers.add(worker);
    worker.beatAt = now + this.#limits.heartbeatInterval;
    this.#beats.push(worker.beatLink);
    if (service.workers.size === 1) this.#outbox.event({ type: "service:up", service: service.name });
    this.#outbox.event({
      type: "worker:join",
      service: service.name,
      worker: name,
      dialect: DIALECT_NAMES[dialect],
      concurrency,
      capacity,
    });
    this.#work.offer(worker, now);
    return true;
  }

  remove(worker: Worker, reason: WorkerLeaveReason, now: number): void {
    if (this.#byKey.get(worker.key) !== worker) return;
    const { service, name } = worker;
    this.#byKey.delete(worker.key);
    this.#byId.delete(worker.routingId);
    service.workers.delete(worker);
    worker.beatLink.unlink();
    const inFlight = worker.inFlight.length;
    this.#work.release(worker, now);
    this.#outbox.event({ type: "worker:leave", service: service.name, worker: name, reason, inFlight });
    if (service.workers.size === 0) {
      this.#outbox.event({ type: "service:down", service: service.name, queued: service.queue.length });
    }
    this.#work.queue.forget(service);
  }

  /** Tells all that the broker goes. */
  disconnectAll(now: number): void {
    for (const worker of [...this.#byKey.values()]) {
      this.#outbox.send(workerSignal(worker.routingId, worker.dialect, "Disconnect"));
      this.remove(worker, "stopping", now);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#beats.first?.beatAt;
  }

  /** Does a part of what is due: then {@link nextWakeUp} is not later than now. @returns those whose connection was found gone */
  tick(now: number): readonly Worker[] {
    const gone: Worker[] = [];
    const { heartbeatInterval, liveness } = this.#limits;
    for (let looked = 0; looked < MAX_BEATS; looked++) {
      const worker = this.#beats.first;
      if (worker === undefined || worker.beatAt > now) break;
      const busy = worker.inFlight.length > 0 && !worker.beatsWhileBusy;
      if (!busy && now - worker.lastSeen >= heartbeatInterval * liveness) {
        this.remove(worker, "expired", now);
        continue;
      }
      worker.beatAt = now + heartbeatInterval;
      this.#beats.push(worker.beatLink);
      // To one that is busy as well: it proves that the connection stands.
      const sent = this.#outbox.send(workerSignal(worker.routingId, worker.dialect, "Heartbeat"));
      if (sent === "gone") gone.push(worker);
    }
    return gone;
  }
}

/** Whether a service's name is the broker's own. */
export function isReserved(service: Buffer): boolean {
  return service[0] === RESERVED_BYTE && serviceNameOf(service).startsWith(RESERVED_PREFIX);
}

const RESERVED_BYTE = RESERVED_PREFIX.charCodeAt(0);
