/**
 * A Majordomo broker's rules (7/MDP, 18/MDP, 8/MMI): who is a worker, who is alive,
 * and what each message means. What becomes of requests is in broker-work.ts.
 *
 * A worker is known by its routing id from READY to DISCONNECT. Silence for
 * `liveness` intervals ends it, too; not while it works, unless it is one that
 * beats while it works (plain workers of the Guide do not).
 */
import { LinkedList } from "../common/linked-list.js";
import type { BrokerStats, WorkerLeaveReason } from "./broker-events.js";
import { mmiAnswer } from "./broker-mmi.js";
import type { BrokerLimits } from "./broker-options.js";
import { Client, Worker } from "./broker-tables.js";
import { type BrokerOutbox, BrokerWork } from "./broker-work.js";
import { answer, clientHeartbeat, workerSignal } from "./messages-broker.js";
import { Dialect, RESERVED_PREFIX, serviceNameOf, textOf } from "./protocol.js";
import type { BrokerCommand, RequestCommand } from "./protocol-broker.js";

const DIALECT_NAMES = {
  [Dialect.Mdp01]: "0.1",
  [Dialect.Mdp02]: "0.2",
  [Dialect.Shoal]: "shoal",
} as const;

const PREFIX = Buffer.from(RESERVED_PREFIX);

export class BrokerRules {
  readonly #limits: BrokerLimits;
  readonly #outbox: BrokerOutbox;
  readonly #incarnation: Buffer;
  readonly #work: BrokerWork;
  readonly #workers = new Map<string, Worker>();
  readonly #clients = new Map<string, Client>();
  /** In the order in which their next beat is due. */
  readonly #beats = new LinkedList<Worker>();
  readonly #clientBeats = new LinkedList<Client>();
  /** Workers whose connection was found gone while a request was handed out. */
  readonly #gone: Worker[] = [];
  #faults = 0;
  /** The peer of the last message: its routing id is the same object as long as it is connected. */
  #lastFrom: Buffer | undefined;
  #lastKey = "";

  /**
   * @param incarnation 8 bytes that no other life of a broker has
   * @param firstTag where the numbers of deliveries begin; by chance, so that no answer fits a later life
   */
  constructor(limits: BrokerLimits, outbox: BrokerOutbox, incarnation: Buffer, firstTag: number) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#incarnation = incarnation;
    this.#work = new BrokerWork(limits, outbox, firstTag, (worker) => {
      this.#gone.push(worker);
    });
  }

  /** @param from the sender's routing id, any bytes */
  receive(from: Buffer, command: BrokerCommand, now: number): void {
    const key = this.#keyOf(from);
    switch (command.kind) {
      case "request":
        this.#request(from, key, command, now);
        break;
      case "final":
      case "partial": {
        const worker = this.#registered(from, key, command.dialect, now);
        if (worker === undefined) break;
        this.#work.reply(worker, command.tag, command.kind === "final", command.body, now);
        break;
      }
      case "failure": {
        const worker = this.#registered(from, key, Dialect.Shoal, now);
        if (worker !== undefined) {
          this.#work.failure(worker, command.tag, command.reason, command.text, now);
        }
        break;
      }
      case "heartbeat": {
        const worker = this.#registered(from, key, command.dialect, now);
        if (worker !== undefined && worker.inFlight.size > 0) worker.beatsWhileBusy = true;
        break;
      }
      case "ready":
        this.#ready(from, key, command, now);
        break;
      case "disconnect": {
        const worker = this.#workers.get(key);
        if (worker !== undefined) this.#remove(worker, "disconnect", now);
        break;
      }
      case "drain": {
        const worker = this.#registered(from, key, Dialect.Shoal, now);
        if (worker === undefined) break;
        worker.draining = true;
        worker.availableLink.unlink();
        break;
      }
      case "ask-all":
        this.#work.acceptAll(from, command, this.#client(from, key, now), now);
        break;
      case "cancel":
        this.#work.cancel(textOf(command.id), this.#client(from, key, now));
        break;
      case "client-heartbeat":
        this.#client(from, key, now);
        this.#outbox.send(clientHeartbeat(from, this.#incarnation));
        break;
      case "fault":
        this.#fault(from, key, command.reason, command.worker, now);
        break;
    }
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  nextWakeUp(): number | undefined {
    const times = [this.#beats.first?.beatAt, this.#clientBeats.first?.beatAt, this.#work.nextDeadline()];
    let next: number | undefined;
    for (const time of times) {
      if (time !== undefined && (next === undefined || time < next)) next = time;
    }
    return next;
  }

  tick(now: number): void {
    this.#work.expire(now);
    const { heartbeatInterval, liveness } = this.#limits;
    const silence = heartbeatInterval * liveness;
    for (let worker = this.#beats.first; worker !== undefined; worker = this.#beats.first) {
      if (worker.beatAt > now) break;
      const busy = worker.inFlight.size > 0 && !worker.beatsWhileBusy;
      if (!busy && now - worker.lastSeen >= silence) {
        this.#remove(worker, "expired", now);
        continue;
      }
      worker.beatAt = now + heartbeatInterval;
      this.#beats.push(worker.beatLink);
      // To one that is busy as well: it proves that the connection stands.
      const sent = this.#outbox.send(workerSignal(worker.routingId, worker.dialect, "Heartbeat"));
      if (sent === "gone") this.#gone.push(worker);
    }
    for (let client = this.#clientBeats.first; client !== undefined; client = this.#clientBeats.first) {
      if (client.beatAt > now) break;
      if (now - client.lastSeen >= silence) {
        this.#removeClient(client);
        continue;
      }
      client.beatAt = now + heartbeatInterval;
      this.#clientBeats.push(client.beatLink);
    }
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  /** Takes nothing new; what is in hand is finished. */
  drain(): void {
    this.#work.stopping = true;
  }

  /** Whether nothing is queued or with a worker. */
  get idle(): boolean {
    return this.#work.queued === 0 && this.#work.inFlight === 0;
  }

  /** Tells all workers that the broker goes. */
  disconnectAll(now: number): void {
    this.#work.stopping = true;
    for (const worker of [...this.#workers.values()]) {
      this.#outbox.send(workerSignal(worker.routingId, worker.dialect, "Disconnect"));
      this.#remove(worker, "stopping", now);
    }
  }

  stats(): BrokerStats {
    const { counters, queued, queuedBytes, inFlight, services } = this.#work;
    return {
      ...counters,
      queued,
      queuedBytes,
      inFlight,
      faults: this.#faults,
      services: services.size,
      workers: this.#workers.size,
      clients: this.#clients.size,
    };
  }

  #keyOf(from: Buffer): string {
    if (from !== this.#lastFrom) {
      this.#lastFrom = from;
      this.#lastKey = textOf(from);
    }
    return this.#lastKey;
  }

  #request(from: Buffer, key: string, command: RequestCommand, now: number): void {
    const { service, dialect } = command;
    if (service.length > PREFIX.length && service[0] === PREFIX[0] && isReserved(service)) {
      const body = mmiAnswer(
        command,
        this.#work.services,
        () => this.stats(),
        this.#incarnation,
        this.#limits,
      );
      this.#outbox.send(answer(from, dialect, true, command.id, service, body));
      return;
    }
    const owner = dialect === Dialect.Shoal ? this.#client(from, key, now) : undefined;
    this.#work.accept(from, command, owner, now);
  }

  #client(from: Buffer, key: string, now: number): Client {
    let client = this.#clients.get(key);
    if (client === undefined) {
      client = new Client(from, key, now);
      this.#clients.set(key, client);
      client.beatAt = now + this.#limits.heartbeatInterval;
      this.#clientBeats.push(client.beatLink);
    }
    client.lastSeen = now;
    return client;
  }

  /** A client that is silent is gone, or has nothing to ask: it beats while it waits for answers. */
  #removeClient(client: Client): void {
    client.beatLink.unlink();
    this.#clients.delete(client.key);
    for (const request of [...client.requests.values()]) this.#work.abandon(request, "client-gone");
    for (const group of client.groups.values()) {
      for (const request of [...group.open]) this.#work.abandon(request, "client-gone");
    }
  }

  /** The worker that sent this; one that is not registered, or in another dialect, is sent away. */
  #registered(from: Buffer, key: string, dialect: Dialect, now: number): Worker | undefined {
    const worker = this.#workers.get(key);
    if (worker === undefined || worker.dialect !== dialect) {
      this.#fault(from, key, "unexpected", dialect, now);
      return undefined;
    }
    worker.lastSeen = now;
    return worker;
  }

  #ready(from: Buffer, key: string, command: BrokerCommand & { kind: "ready" }, now: number): void {
    const { dialect, capacity } = command;
    // 18/MDP, Opening and Closing a Connection: a second READY, as a reserved name, ends it.
    const refused = this.#workers.has(key) || isReserved(command.service);
    if (refused) {
      this.#fault(from, key, "unexpected", dialect, now);
      return;
    }
    const full = this.#workers.size >= this.#limits.maxWorkers;
    const service = full || this.#work.stopping ? undefined : this.#work.service(command.service);
    if (service === undefined) {
      this.#outbox.send(workerSignal(from, dialect, "Disconnect"));
      return;
    }
    const name = command.name === "" ? from.toString("hex") : command.name;
    const beats = dialect === Dialect.Shoal;
    const worker = new Worker(from, key, dialect, service, capacity, name, now, beats);
    this.#workers.set(key, worker);
    service.workers.add(worker);
    worker.beatAt = now + this.#limits.heartbeatInterval;
    this.#beats.push(worker.beatLink);
    if (service.workers.size === 1) this.#outbox.event({ type: "service:up", service: service.name });
    this.#outbox.event({
      type: "worker:join",
      service: service.name,
      worker: name,
      dialect: DIALECT_NAMES[dialect],
      capacity,
    });
    this.#work.offer(worker, now);
  }

  #remove(worker: Worker, reason: WorkerLeaveReason, now: number): void {
    if (this.#workers.get(worker.key) !== worker) return;
    const { service, name } = worker;
    this.#workers.delete(worker.key);
    service.workers.delete(worker);
    worker.beatLink.unlink();
    const inFlight = worker.inFlight.size;
    this.#work.release(worker, now);
    this.#outbox.event({ type: "worker:leave", service: service.name, worker: name, reason, inFlight });
    if (service.workers.size === 0) {
      this.#outbox.event({ type: "service:down", service: service.name, queued: service.queue.length });
    }
    this.#work.forget(service);
  }

  #removeGone(now: number): void {
    for (let worker = this.#gone.pop(); worker !== undefined; worker = this.#gone.pop()) {
      this.#remove(worker, "lost", now);
    }
  }

  #fault(
    from: Buffer,
    key: string,
    reason: (BrokerCommand & { kind: "fault" })["reason"] | "unexpected",
    dialect: Dialect | undefined,
    now: number,
  ): void {
    this.#faults += 1;
    this.#outbox.event({ type: "peer:fault", reason, peer: from });
    const worker = this.#workers.get(key);
    if (worker !== undefined && dialect !== undefined) this.#remove(worker, "fault", now);
    if (dialect !== undefined) this.#outbox.send(workerSignal(from, dialect, "Disconnect"));
  }
}

function isReserved(service: Buffer): boolean {
  return serviceNameOf(service).startsWith(RESERVED_PREFIX);
}
