/** A broker's rules (7/MDP, 18/MDP, 8/MMI). */

import type { MajordomoBrokerLimits, MajordomoBrokerStats, MajordomoServiceStats } from "./broker-options.js";
import { BrokerClients, BrokerWorkers, isReserved } from "./broker-peers.js";
import { BrokerRequests } from "./broker-requests.js";
import type { BrokerEffects, SendResult, Worker } from "./broker-tables.js";
import {
  type Answer,
  type AtBroker,
  Dialect,
  type Fault,
  type FromWorker,
  type Question,
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
  unanswered(first: Answer, count: number, sent: SendResult): void {
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
