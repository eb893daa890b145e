/**
 * A Majordomo broker's rules (7/MDP, 18/MDP, 8/MMI): what each message means. Who is
 * a worker and who a client is in broker-peers.ts, and what
 * becomes of requests in broker-requests.ts.
 */

import type { MajordomoBrokerLimits, MajordomoBrokerStats, MajordomoServiceStats } from "./broker-options.js";
import { BrokerClients, BrokerWorkers, isReserved } from "./broker-peers.js";
import { BrokerRequests } from "./broker-requests.js";
import type { BrokerEffects, Client, Service, Worker } from "./broker-tables.js";
import { clientHeartbeat, FORGOTTEN, type RequestCommand, type RunCommand } from "./client-messages.js";
import { serviceStart } from "./header.js";
import { Dialect, LEVEL, RESERVED_PREFIX } from "./protocol.js";
import { type BrokerCommand, workerSignal } from "./worker-messages.js";

const RESERVED_BYTE = RESERVED_PREFIX.charCodeAt(0);

export class BrokerRules {
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #incarnation: Buffer;
  readonly #requests: BrokerRequests;
  readonly #workers: BrokerWorkers;
  readonly #clients: BrokerClients;
  /** Workers whose connection was found gone while a request was handed out. */
  readonly #gone: Worker[] = [];
  #faults = 0;

  /**
   * @param incarnation 8 bytes that no other life of a broker has
   * @param firstTag where the numbers of deliveries begin; by chance, so that no answer fits a later life
   * @param bornAt when this life began
   */
  constructor(
    limits: MajordomoBrokerLimits,
    effects: BrokerEffects,
    incarnation: Buffer,
    firstTag: number,
    bornAt: number,
  ) {
    this.#limits = limits;
    this.#effects = effects;
    this.#incarnation = incarnation;
    const work = new BrokerRequests(limits, effects, firstTag, bornAt, (worker) => {
      this.#gone.push(worker);
    });
    this.#requests = work;
    this.#workers = new BrokerWorkers(limits, effects, work);
    this.#clients = new BrokerClients(
      limits,
      (client) => work.clientLeft(client),
      (client, isSilent) => this.#onClientGone(client, isSilent),
    );
  }

  /** @param from the sender's routing id, any bytes */
  receive(from: Buffer, command: BrokerCommand, now: number): void {
    switch (command.kind) {
      case "request":
        this.#onRequest(from, command, now);
        break;
      case "requests":
        this.#onRun(from, command, now);
        break;
      case "replies": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) this.#requests.replyRun(worker, command, now);
        break;
      }
      case "final":
      case "partial": {
        const worker = this.#registered(from, command.dialect, now);
        if (worker !== undefined) this.#requests.reply(worker, command, now);
        break;
      }
      case "failure": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) {
          this.#requests.failure(worker, command, now);
        }
        break;
      }
      case "heartbeat": {
        const worker = this.#registered(from, command.dialect, now);
        if (worker !== undefined && worker.inFlight.length > 0) worker.beatsWhileBusy = true;
        break;
      }
      case "ready":
        if (!this.#workers.ready(from, command, now)) this.#fault(from, "unexpected", command.dialect, now);
        break;
      case "disconnect": {
        const worker = this.#workers.find(from);
        if (worker !== undefined) this.#workers.remove(worker, "disconnect", now);
        break;
      }
      case "drain": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) this.#requests.drains(worker);
        break;
      }
      case "return": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) this.#requests.takeBack(worker, command.tag, now);
        break;
      }
      case "cancel":
        this.#requests.cancel(command.head, this.#clients.heard(from, now));
        break;
      case "credit":
        this.#requests.credit(command.head, command.bytes, this.#clients.heard(from, now));
        break;
      case "client-heartbeat":
        this.#clients.heard(from, now);
        this.#effects.send(clientHeartbeat(from, this.#incarnation));
        break;
      case "fault":
        this.#fault(from, command.reason, command.worker, now);
        break;
    }
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  nextWakeUp(): number | undefined {
    const beat = earlier(this.#workers.nextWakeUp(), this.#clients.nextWakeUp());
    return earlier(earlier(beat, this.#requests.queue.nextDeadline()), this.#requests.nextReadCheck);
  }

  tick(now: number): void {
    this.#requests.expire(now);
    this.#requests.checkReaders(now);
    this.#gone.push(...this.#workers.tick(now));
    this.#clients.tick(now);
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  /**
   * A peer's connection has ended, and all that came over it was received.
   *
   * @param peer its routing id: the very object that its messages came with
   */
  peerLeft(peer: Buffer, now: number): void {
    const worker = this.#workers.ofConnection(peer);
    if (worker !== undefined) this.#workers.remove(worker, "lost", now);
    else if (!this.#clients.left(peer, now)) this.#requests.plainClientLeft(peer);
    this.#requests.replies.backlog.left(peer);
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  /** Sends what was gathered in this turn. */
  flush(now: number): void {
    this.#requests.flush();
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  /** Takes nothing new; what is in flight is finished. */
  drain(): void {
    this.#requests.stop();
  }

  /** Whether nothing is queued or with a worker. */
  get idle(): boolean {
    return this.#requests.queue.queued === 0 && this.#requests.inFlight === 0;
  }

  /** Says DISCONNECT to all workers: the broker stops. */
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
      replyBytes: this.#requests.replies.backlog.total,
      faults: this.#faults,
      services: queue.services.size,
      workers: this.#workers.size,
      clients: this.#clients.size,
    };
  }

  /** The services that are offered or asked for. */
  *services(): Generator<MajordomoServiceStats, undefined> {
    for (const {
      name,
      workers,
      queue,
      requests,
      replies,
      failures,
    } of this.#requests.queue.services.values())
      yield { name, workers: workers.size, queued: queue.length, requests, replies, failures };
    return undefined;
  }

  /** One that only stood still reads that it was given up when it goes on, and asks again for what was dropped. */
  #onClientGone(client: Client, isSilent: boolean): void {
    const hadRequests = this.#requests.clientGone(client);
    if (hadRequests && isSilent) this.#effects.send(clientHeartbeat(client.routingId, FORGOTTEN));
  }

  #onRequest(from: Buffer, command: RequestCommand, now: number): void {
    const { dialect, head } = command;
    // A look at the first byte spares most requests the view of the name.
    const first = head.length > 0 ? head[serviceStart(head)] : command.service[0];
    if (first === RESERVED_BYTE && isReserved(command.service)) {
      const { services } = this.#requests.queue;
      const body = mmiAnswer(
        command,
        services,
        () => this.stats(),
        this.#incarnation,
        this.#limits,
        this.#requests.stopping,
        this.#effects.level,
      );
      this.#requests.replies.own(from, command, body);
      return;
    }
    const owner = dialect === Dialect.Shoal ? this.#clients.heard(from, now) : undefined;
    this.#requests.accept(from, command, owner, now);
  }

  /** The broker's own services answer one by one. */
  #onRun(from: Buffer, command: RunCommand, now: number): void {
    const { head } = command;
    if (head[serviceStart(head)] === RESERVED_BYTE && isReserved(command.service))
      this.#fault(from, "service", undefined, now);
    else this.#requests.acceptRun(from, command, this.#clients.heard(from, now), now);
  }

  /** The worker that sent this; one that is not registered, or in another dialect, is sent away. */
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
    for (let worker = this.#gone.pop(); worker !== undefined; worker = this.#gone.pop()) {
      this.#workers.remove(worker, "lost", now);
    }
  }

  #fault(
    from: Buffer,
    reason: (BrokerCommand & { kind: "fault" })["reason"] | "unexpected",
    dialect: Dialect | undefined,
    now: number,
  ): void {
    this.#faults += 1;
    this.#effects.event({ type: "peer:invalid", reason, peer: from });
    if (dialect === undefined) return;
    const worker = this.#workers.find(from);
    if (worker !== undefined) this.#workers.remove(worker, "fault", now);
    this.#effects.send(workerSignal(from, dialect, "Disconnect"));
  }
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined) return other;
  return other === undefined || one < other ? one : other;
}

/** Services that one answer lists at most. */
const MAX_LISTED = 1_000;

const OK = Buffer.from("200");

const NOT_FOUND = Buffer.from("404");

const NOT_IMPLEMENTED = Buffer.from("501");

const UNAVAILABLE = Buffer.from("503");

/**
 * The broker's own services (8/MMI). The body's last frame is the argument, the
 * reply's first the status:
 *
 *   mmi.service   name    -> 200 a worker offers it | 404 none does
 *   mmi.services          -> 200 | name | workers | queued | … three frames for each service, 1,000 services at most
 *   mmi.stats             -> 200 | the statistics as JSON
 *   mmi.shoal             -> 200 | incarnation | ms between heartbeats | intervals until a silent end counts as dead | LEVEL
 *   mmi.serving           -> 200 the broker takes requests | 503 it stops
 *   any other             -> 501
 */
export function mmiAnswer(
  command: RequestCommand,
  services: ReadonlyMap<string, Service>,
  stats: () => MajordomoBrokerStats,
  incarnation: Buffer,
  limits: MajordomoBrokerLimits,
  isStopping: boolean,
  level: number = LEVEL,
): Buffer[] {
  switch (command.service.toString()) {
    case "mmi.service": {
      const name = String(command.body.at(-1));
      return [(services.get(name)?.workers.size ?? 0) > 0 ? OK : NOT_FOUND];
    }
    case "mmi.services": {
      const frames: Buffer[] = [OK];
      for (const service of services.values()) {
        if (frames.length > 3 * MAX_LISTED) break;
        const counts = [service.workers.size, service.queue.length];
        frames.push(service.frame, ...counts.map((count) => Buffer.from(String(count))));
      }
      return frames;
    }
    case "mmi.stats":
      return [OK, Buffer.from(JSON.stringify(stats()))];
    case "mmi.shoal":
      return [
        OK,
        incarnation,
        Buffer.from(String(limits.heartbeatInterval)),
        Buffer.from(String(limits.liveness)),
        Buffer.of(level),
      ];
    case "mmi.serving":
      return [isStopping ? UNAVAILABLE : OK];
    default:
      return [NOT_IMPLEMENTED];
  }
}
