/**
 * A Majordomo broker's rules (7/MDP, 18/MDP, 8/MMI): what each message means. broker-peers.ts knows the workers and
 * clients, broker-requests.ts what becomes of requests.
 */

import type { MajordomoBrokerLimits, MajordomoBrokerStats, MajordomoServiceStats } from "./broker-options.js";
import { BrokerClients, BrokerWorkers, isReserved } from "./broker-peers.js";
import { BrokerRequests } from "./broker-requests.js";
import type { BrokerEffects, Client, SendResult, Worker } from "./broker-tables.js";
import { type Answer, type AtBroker, Dialect, type Fault, FORGOTTEN, type Request } from "./wire.js";

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
   * @param life `incarnation`: 8 bytes that no other life of a broker has; `firstTag`: where the numbers of deliveries
   *   begin, random, so that no answer fits a later life; `bornAt`: when this life began
   */
  constructor(
    limits: MajordomoBrokerLimits,
    effects: BrokerEffects,
    life: { readonly incarnation: Buffer; readonly firstTag: number; readonly bornAt: number },
  ) {
    this.#limits = limits;
    this.#effects = effects;
    this.#incarnation = life.incarnation;
    const requests = new BrokerRequests(limits, effects, life, (worker) => {
      this.#gone.push(worker);
    });
    this.#requests = requests;
    this.#workers = new BrokerWorkers(limits, effects, requests);
    this.#clients = new BrokerClients(
      limits,
      (client) => requests.clientLeft(client),
      (client, isSilent) => this.#onClientGone(client, isSilent),
    );
  }

  /** @param from the sender's routing id, any bytes */
  receive(from: Buffer, message: AtBroker, now: number): void {
    const requests = this.#requests;
    switch (message.kind) {
      case "request":
        this.#onRequest(from, message, now);
        break;
      case "reply": {
        const worker = this.#registered(from, message.dialect, now);
        if (worker !== undefined) requests.reply(worker, message, now);
        break;
      }
      case "failure": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) requests.failure(worker, message, now);
        break;
      }
      case "heartbeat": {
        const worker = this.#registered(from, message.dialect, now);
        if (worker !== undefined && worker.inFlight.length > 0) worker.beatsWhileBusy = true;
        break;
      }
      case "ready":
        if (!this.#workers.ready(from, message, now)) this.#fault(from, "unexpected", message.dialect, now);
        break;
      case "disconnect": {
        const worker = this.#workers.find(from);
        if (worker !== undefined) this.#workers.remove(worker, "disconnect", now);
        break;
      }
      case "drain": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) requests.drains(worker);
        break;
      }
      case "return": {
        const worker = this.#registered(from, Dialect.Shoal, now);
        if (worker !== undefined) requests.takeBack(worker, message.tag, now);
        break;
      }
      case "cancel":
        requests.cancel(message.id, this.#clients.heard(from, now));
        break;
      case "credit":
        requests.credit(message.id, message.bytes, this.#clients.heard(from, now));
        break;
      case "client-heartbeat":
        this.#clients.heard(from, now);
        this.#effects.send(from, { kind: "broker-heartbeat", incarnation: this.#incarnation });
        break;
      case "fault":
        this.#fault(from, message.reason, message.worker, now);
        break;
    }
    if (this.#gone.length > 0) this.#removeGone(now);
  }

  nextWakeUp(): number | undefined {
    if (this.#gone.length > 0) return 0;
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

  /** What was gathered for a worker could not be sent: it counts as lost, from the next message or tick on. */
  unreachable(peer: Buffer): void {
    const worker = this.#workers.find(peer);
    if (worker !== undefined) this.#gone.push(worker);
  }

  /** Answers that were gathered for a client could not be sent. */
  unanswered(client: Buffer, answers: readonly Answer[], sent: SendResult): void {
    this.#requests.replies.unanswered(client, answers, sent);
  }

  /** Takes nothing new; what is in flight is finished. */
  drain(): void {
    this.#requests.stop();
  }

  /** Whether nothing is queued or with a worker. */
  get idle(): boolean {
    return this.#requests.queue.queued === 0 && this.#requests.inFlight === 0;
  }

  /** Sends DISCONNECT to all workers: the broker stops. */
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
    for (const service of this.#requests.queue.services.values()) {
      const { name, workers, queue, requests, replies, failures } = service;
      yield { name, workers: workers.size, queued: queue.length, requests, replies, failures };
    }
    return undefined;
  }

  /** A client that was only paused reads that it was given up when it goes on, and sends its requests again. */
  #onClientGone(client: Client, isSilent: boolean): void {
    const hadRequests = this.#requests.clientGone(client);
    if (hadRequests && isSilent)
      this.#effects.send(client.routingId, { kind: "broker-heartbeat", incarnation: FORGOTTEN });
  }

  #onRequest(from: Buffer, request: Request, now: number): void {
    if (isReserved(request.service)) {
      this.#requests.replies.own(from, request, this.#mmiAnswer(request));
      return;
    }
    const owner = request.dialect === Dialect.Shoal ? this.#clients.heard(from, now) : undefined;
    this.#requests.accept(from, request, owner, now);
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
    for (let worker = this.#gone.pop(); worker !== undefined; worker = this.#gone.pop())
      this.#workers.remove(worker, "lost", now);
  }

  /** @param dialect of the worker that sent it */
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
    this.#effects.send(from, { kind: "disconnect", dialect });
  }

  /**
   * The broker's own services (8/MMI). The body's last frame is the argument, the reply's first the status:
   *
   *   mmi.service   name    -> 200 a worker offers it | 404 none does
   *   mmi.services          -> 200 | name | workers | queued | … three frames for each service, 1,000 services at most
   *   mmi.stats             -> 200 | the statistics as JSON
   *   mmi.shoal             -> 200 | incarnation | ms between heartbeats | intervals until a silent end counts as dead
   *   mmi.serving           -> 200 the broker takes requests | 503 it stops
   *   any other             -> 501
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
      case "mmi.shoal": {
        const { heartbeatInterval, liveness } = this.#limits;
        return [status(200), this.#incarnation, status(heartbeatInterval), status(liveness)];
      }
      case "mmi.serving":
        return [status(this.#requests.stopping ? 503 : 200)];
      default:
        return [status(501)];
    }
  }
}

/** Services that one answer lists at most. */
const MAX_LISTED = 1_000;

/** A number as text. */
function status(number: number): Buffer {
  return Buffer.from(String(number));
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined) return other;
  return other === undefined || one < other ? one : other;
}
