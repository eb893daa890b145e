/**
 * The services that a broker knows, and the requests that wait for their workers.
 *
 * How long a request waits:
 *
 *   service                                              client of shoal's    plain client
 *   has workers, or had one within queueTimeout          queueTimeout         queueTimeout
 *   has none, the broker is younger than liveness        until it is older    queueTimeout
 *   has none, and none is known to come                  noServiceTimeout     queueTimeout
 *
 * A service with a worker by then has the rest of queueTimeout.
 */

import { Link } from "../../core/collections/linked-list.js";
import { Deadlines } from "../../core/deadlines.js";
import { fnv1a } from "../../core/hash.js";
import type { FailureReason } from "../kit/errors.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import { type BrokerRequest, Service, Stage } from "./broker-tables.js";
import type { RequestCommand } from "./client-messages.js";
import { serviceEnd, serviceStart } from "./header.js";
import { Dialect } from "./protocol.js";

export class BrokerQueue {
  readonly services = new Map<string, Service>();
  queued = 0;
  queuedBytes = 0;
  readonly #limits: MajordomoBrokerLimits;
  /** When the broker knows which workers there are. */
  readonly #settledAt: number;
  readonly #cache = new ServiceCache();
  /** When services lost their last worker: the newest, at least half of `maxServices`. */
  #left = new Map<string, number>();
  /** Older ones, forgotten as a whole. */
  #leftBefore = new Map<string, number>();
  /** All that is queued, in the order of its deadlines. */
  readonly #aging = new Deadlines<BrokerRequest>();

  /** @param bornAt when the broker began */
  constructor(limits: MajordomoBrokerLimits, bornAt: number) {
    this.#limits = limits;
    this.#settledAt = bornAt + limits.heartbeatInterval * limits.liveness;
  }

  /** The service that a request names, made if there is room; `undefined`: there are too many. */
  serviceOf(command: Pick<RequestCommand, "head" | "service">): Service | undefined {
    const { head } = command;
    if (head.length === 0) return this.service(command.service);
    const known = this.#cache.find(head);
    if (known !== undefined) return known;
    const service = this.service(command.service);
    if (service !== undefined) this.#cache.add(service, head);
    return service;
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

  /** A service has lost its last worker. */
  lastLeft(service: Service, now: number): void {
    if (2 * this.#left.size >= this.#limits.maxServices) {
      this.#leftBefore = this.#left;
      this.#left = new Map();
    }
    this.#left.set(service.name, now);
  }

  /** Forgets a service that nobody offers or wants. */
  forget(service: Service): void {
    if (service.workers.size > 0 || service.queue.length > 0) return;
    if (this.services.get(service.name) !== service) return;
    this.services.delete(service.name);
    this.#cache.remove(service);
  }

  /** Why a request of so many bytes cannot wait for this service; `undefined`: it can. */
  refuses(service: Service | undefined, bytes: number): FailureReason | undefined {
    if (service === undefined) return "overloaded";
    const { maxQueue, maxQueueBytes, waitForService } = this.#limits;
    if (2 * bytes > maxQueueBytes) return "too-large";
    if (service.queue.length >= maxQueue || this.queuedBytes + bytes > maxQueueBytes) return "overloaded";
    return service.workers.size === 0 && !waitForService ? "no-service" : undefined;
  }

  /** @param front before the others: it was with a worker already */
  add(request: BrokerRequest, now: number, front: boolean): void {
    const { queue } = request.service;
    request.stage = Stage.Queued;
    request.worker = undefined;
    this.count(request, 1);
    if (front) queue.unshift(request.placeLink);
    else queue.push(request.placeLink);
    request.patience = this.#patience(request, now);
    request.ageLink ??= new Link(request);
    this.#aging.set(request.ageLink, now, request.patience);
  }

  remove(request: BrokerRequest): void {
    request.placeLink.unlink();
    request.ageLink?.unlink();
    this.count(request, -1);
  }

  /** It waits, in a queue or for one worker; or does no more. */
  count(request: BrokerRequest, change: 1 | -1): void {
    this.queued += change;
    this.queuedBytes += change * request.bytes;
  }

  nextDeadline(): number | undefined {
    return this.#aging.next();
  }

  /** Takes out those that have waited for as long as they may. */
  *takeExpired(now: number): Generator<BrokerRequest, undefined> {
    const { queueTimeout } = this.#limits;
    for (const request of this.#aging.take(now)) {
      const rest = queueTimeout - request.patience;
      if (rest > 0 && this.#expected(request.service, now)) {
        request.patience = queueTimeout;
        this.#aging.set(request.ageLink as Link<BrokerRequest>, now, rest);
        continue;
      }
      this.remove(request);
      yield request;
    }
    return undefined;
  }

  #patience(request: BrokerRequest, now: number): number {
    const { queueTimeout, noServiceTimeout } = this.#limits;
    if (request.dialect !== Dialect.Shoal || this.#expected(request.service, now)) return queueTimeout;
    return Math.min(queueTimeout, Math.max(noServiceTimeout, this.#settledAt - now));
  }

  /** Whether the service has a worker, or had one a short while ago. */
  #expected(service: Service, now: number): boolean {
    if (service.workers.size > 0) return true;
    const left = this.#left.get(service.name) ?? this.#leftBefore.get(service.name);
    return left !== undefined && now - left < this.#limits.queueTimeout;
  }
}

/** Places; a power of two. */
const PLACES = 8_192;

/**
 * Services by the bytes of a head: making a string of each request's service cost
 * more than the rest of looking it up. What is not here, or shares its place with
 * another, is found by its name.
 */
export class ServiceCache {
  readonly #places: (Service | undefined)[] = new Array(PLACES).fill(undefined);

  find(head: Buffer): Service | undefined {
    const start = serviceStart(head);
    const end = serviceEnd(head);
    const service = this.#places[placeOf(head, start, end)];
    if (service === undefined) return undefined;
    const { frame } = service;
    if (frame.length !== end - start) return undefined;
    for (let i = 0; i < frame.length; i++) if (frame[i] !== head[start + i]) return undefined;
    return service;
  }

  add(service: Service, head: Buffer): void {
    const start = serviceStart(head);
    const end = serviceEnd(head);
    // A name that is not UTF-8 is known by what it is shown as; its bytes may be others.
    if (end - start === service.frame.length) this.#places[placeOf(head, start, end)] = service;
  }

  remove(service: Service): void {
    const place = placeOf(service.frame, 0, service.frame.length);
    if (this.#places[place] === service) this.#places[place] = undefined;
  }
}

/** FNV-1a of the name that begins at `at`. */
function placeOf(bytes: Buffer, at: number, end: number): number {
  const hash = fnv1a(bytes, at, end);
  return (hash ^ (hash >>> 13)) & (PLACES - 1);
}
