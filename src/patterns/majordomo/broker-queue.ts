/**
 * Services of a broker and their queued requests.
 *
 * A request waits for `queueTimeout` if its service has a worker, if a worker had it, or if its client is a plain one,
 * else for `noServiceTimeout`; if the service has a worker by then, for the rest of `queueTimeout`.
 */

import { Link } from "../../core/collections/ring-buffer.js";
import { Deadlines } from "../../core/driver-timer.js";
import type { FailureReason } from "../../kit/errors.js";
import { MAX_BATCH_BYTES } from "./batch.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import { type BrokerRequest, Service, Stage } from "./broker-tables.js";
import { Dialect } from "./protocol.js";

export class BrokerQueue {
  readonly services = new Map<string, Service>();
  queued = 0;
  queuedBytes = 0;
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
    if (service.queue.length >= maxQueue || this.queuedBytes + bytes > maxQueueBytes) return "overloaded";
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
