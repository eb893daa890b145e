/**
 * Which stored request goes to its service, and when. Pure: the store's and the
 * services' answers and the time go in, what to do comes out (STYLE, Protocol
 * rules are pure).
 *
 * A service with requests:
 *
 *   asleep --request stored, found, or a retry is due--> checking (mmi.service)
 *   checking --there--> serving: claims while it has capacity
 *   checking --not there, no answer--> waiting, longer each time --> checking
 *   serving --nothing left to claim, nothing in flight--> forgotten
 *   serving --a call failed--> checking, and that request again after a while
 *
 * Each request is tried until it is answered, expires, or failed `maxAttempts`
 * times and becomes a dead letter: at least once, and more often when a reply is
 * lost or late (9/TSP, Reliability).
 *
 * An attempt counts when the service had the request. A call that timed out may
 * have waited behind others all the time, for a service that is slow: it counts
 * when it was first in line, since services take requests in their order. That
 * is so when one that was delivered later was answered, or all that were before
 * it.
 */
import { backOff } from "../../core/back-off.js";
import type { TitanicClaimedRequest } from "./store.js";

/** What bounds a dispatcher. Times are in ms. */
export interface DispatchLimits {
  /** Requests in the hands of services, all together. */
  readonly concurrency: number;
  /** The same for each service: one that is slow does not take the others' places. */
  readonly perService: number;
  /** Between two checks of a service that is not there; doubled each time, up to `maxCheckInterval`. */
  readonly checkInterval: number;
  readonly maxCheckInterval: number;
  /** Until a request whose call failed is tried again; doubled each time, up to `maxRetryDelay`, and half of it by chance. */
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
  /** Attempts of a request that may fail; then it is a dead letter. */
  readonly maxAttempts: number;
  /** Requests of one service that wait for another try; past it no further ones are tried. */
  readonly maxRetrying: number;
  /** Services looked after at once; the others wait for the next scan. */
  readonly maxServices: number;
  /** Between two looks into the store for services that have requests. */
  readonly scanInterval: number;
}

/**
 * How a delivery ended: with its reply in the store, or the request gone; with an error; without an answer in
 * time; before the service had the request.
 */
export type DeliveryEnd = "answered" | "failed" | "timed-out" | "undelivered";

/** What the rules want done. Each but `release` and `bury` is answered by a call on the rules. */
export interface DispatchEffects {
  /** Ask the broker for the service; answered by `checked`. */
  check(service: Buffer): void;
  /** Take requests out of the store; answered by `claimed`. */
  claim(service: Buffer, limit: number): void;
  /** Give a request to its service and keep the reply; answered by `settled`. */
  deliver(request: TitanicClaimedRequest): void;
  /** Put a request back for some time; `failed` counts an attempt. */
  release(request: TitanicClaimedRequest, delay: number, failed: boolean): void;
  /** It is not tried any more. */
  bury(request: TitanicClaimedRequest): void;
  /** Look for services with requests; answered by `found`. */
  scan(): void;
}

/** ms between two looks at all services. */
const GRAIN = 20;

interface Service {
  readonly name: Buffer;
  /** Whether the store may have requests of it that are not claimed. */
  more: boolean;
  available: boolean;
  /** A check or a claim is under way. */
  checking: boolean;
  claiming: boolean;
  /** Something was stored while a claim was under way, which may not have seen it; the same for a scan. */
  storedMeanwhile: boolean;
  storedSinceScan: boolean;
  /** When it may be checked; how long the next pause is. */
  nextCheck: number;
  pause: number;
  inFlight: number;
  /** When the requests that were put back are due, in no order. */
  retries: number[];
  /** Deliveries begun and answered, and the number of the latest that was answered. */
  delivered: number;
  answered: number;
  lastAnswered: number;
}

/** Where a request stood in its service's line when it was delivered. */
interface Place {
  readonly number: number;
  /** Requests that the service had before it, and its answers by then. */
  readonly ahead: number;
  readonly answeredBefore: number;
}

export interface TitanicDispatchStats {
  readonly services: number;
  readonly inFlight: number;
  readonly retrying: number;
}

export class DispatchRules {
  readonly #limits: DispatchLimits;
  readonly #effects: DispatchEffects;
  readonly #random: () => number;
  /** By name as latin1 text. */
  readonly #services = new Map<string, Service>();
  /** Those that would claim if a place were free, in the order in which they get one. */
  readonly #hungry = new Set<Service>();
  readonly #places = new Map<TitanicClaimedRequest, Place>();
  #inFlight = 0;
  /** Places given to claims that are under way. */
  #promised = 0;
  #nextScan: number;
  #scanning = false;
  /** When something is due next, at the earliest; each tick looks at everything, so ticks keep a distance. */
  #wake: number;
  #lastTick = Number.NEGATIVE_INFINITY;
  #stopped = false;

  /** @param random for the jitter, from 0 up to 1 */
  constructor(
    limits: DispatchLimits,
    effects: DispatchEffects,
    now: number,
    random: () => number = Math.random,
  ) {
    this.#limits = limits;
    this.#effects = effects;
    this.#random = random;
    this.#nextScan = now;
    this.#wake = now;
  }

  /** A request of this service was stored. */
  stored(service: Buffer, now: number): void {
    const entry = this.#wakeService(service, now);
    if (entry === undefined) return;
    entry.storedSinceScan = true;
    if (entry.claiming) entry.storedMeanwhile = true;
    this.#advance(entry, now);
  }

  /** The services that have requests in the store, `maxServices` at most. */
  found(services: readonly Buffer[], now: number): void {
    this.#scanning = false;
    this.#nextScan = now + this.#limits.scanInterval;
    this.#wakeAt(this.#nextScan);
    if (services.length < this.#limits.maxServices) this.#drop(services);
    for (const service of services) this.stored(service, now);
  }

  /** The look for services failed. */
  scanFailed(now: number): void {
    this.#scanning = false;
    this.#nextScan = now + this.#limits.scanInterval;
    this.#wakeAt(this.#nextScan);
  }

  /** Whether the broker has the service; `false` also when it did not say. */
  checked(service: Buffer, available: boolean, now: number): void {
    const entry = this.#services.get(key(service));
    if (entry === undefined) return;
    entry.checking = false;
    entry.available = available;
    if (available) {
      entry.pause = this.#limits.checkInterval;
    } else {
      entry.nextCheck = now + entry.pause;
      entry.pause = Math.min(entry.pause * 2, this.#limits.maxCheckInterval);
      this.#wakeAt(entry.nextCheck);
    }
    this.#advance(entry, now);
  }

  /** What the store gave, of `limit` that were asked for. An empty answer after a failure comes back with the next scan. */
  claimed(service: Buffer, requests: readonly TitanicClaimedRequest[], limit: number, now: number): void {
    const entry = this.#services.get(key(service)) as Service;
    entry.claiming = false;
    this.#promised -= limit;
    entry.more = requests.length >= limit || entry.storedMeanwhile;
    entry.storedMeanwhile = false;
    for (const request of requests) {
      if (this.#stopped) {
        this.#effects.release(request, 0, false);
        continue;
      }
      entry.delivered += 1;
      const { delivered, inFlight, answered } = entry;
      this.#places.set(request, { number: delivered, ahead: inFlight, answeredBefore: answered });
      entry.inFlight += 1;
      this.#inFlight += 1;
      this.#effects.deliver(request);
    }
    this.#turn(entry, now);
  }

  /** A delivery ended. */
  settled(request: TitanicClaimedRequest, end: DeliveryEnd, now: number): void {
    const entry = this.#services.get(key(request.service)) as Service;
    const place = this.#places.get(request) as Place;
    this.#places.delete(request);
    entry.inFlight -= 1;
    this.#inFlight -= 1;
    if (end === "answered") {
      entry.answered += 1;
      entry.lastAnswered = Math.max(entry.lastAnswered, place.number);
    } else {
      entry.available = false;
      this.#putBack(entry, request, end === "failed" || (end === "timed-out" && wasFirst(entry, place)), now);
    }
    this.#turn(entry, now);
  }

  /** Claims nothing more; what is in flight still settles. */
  stop(): void {
    this.#stopped = true;
  }

  nextWakeUp(): number | undefined {
    if (this.#stopped || !Number.isFinite(this.#wake)) return undefined;
    return Math.max(this.#wake, this.#lastTick + GRAIN);
  }

  tick(now: number): void {
    if (this.#stopped) return;
    this.#lastTick = now;
    this.#wake = Number.POSITIVE_INFINITY;
    if (!this.#scanning && now >= this.#nextScan) {
      this.#scanning = true;
      for (const entry of this.#services.values()) entry.storedSinceScan = false;
      this.#effects.scan();
    }
    if (!this.#scanning) this.#wakeAt(this.#nextScan);
    for (const entry of [...this.#services.values()]) {
      if (entry.retries.some((due) => due <= now)) {
        entry.retries = entry.retries.filter((due) => due > now);
        entry.more = true;
        if (entry.claiming) entry.storedMeanwhile = true;
      }
      for (const due of entry.retries) this.#wakeAt(due);
      this.#advance(entry, now);
      if (this.#wantsCheck(entry)) this.#wakeAt(entry.nextCheck);
      this.#forget(entry);
    }
  }

  stats(): TitanicDispatchStats {
    let retrying = 0;
    for (const { retries } of this.#services.values()) retrying += retries.length;
    return { services: this.#services.size, inFlight: this.#inFlight, retrying };
  }

  /** Its entry, made if there is room for one. */
  #wakeService(service: Buffer, now: number): Service | undefined {
    const name = key(service);
    let entry = this.#services.get(name);
    if (entry === undefined) {
      if (this.#services.size >= this.#limits.maxServices) return undefined;
      entry = {
        name: service,
        more: true,
        available: false,
        checking: false,
        claiming: false,
        storedMeanwhile: false,
        storedSinceScan: true,
        nextCheck: now,
        pause: this.#limits.checkInterval,
        inFlight: 0,
        retries: [],
        delivered: 0,
        answered: 0,
        lastAnswered: 0,
      };
      this.#services.set(name, entry);
    }
    entry.more = true;
    return entry;
  }

  /** What a scan did not find has no requests any more: closed, expired, answered elsewhere. */
  #drop(found: readonly Buffer[]): void {
    const names = new Set(found.map(key));
    for (const [name, entry] of [...this.#services]) {
      if (names.has(name) || entry.storedSinceScan) continue;
      entry.more = false;
      this.#forget(entry);
    }
  }

  #putBack(entry: Service, request: TitanicClaimedRequest, failed: boolean, now: number): void {
    if (failed && request.attempts >= this.#limits.maxAttempts) {
      this.#effects.bury(request);
      return;
    }
    const delay = this.#delay(request.attempts);
    this.#effects.release(request, delay, failed);
    entry.retries.push(now + delay);
    this.#wakeAt(now + delay);
  }

  /** After a place became free: the services that wait for one come first, then the one that had it. */
  #turn(entry: Service, now: number): void {
    for (const other of this.#hungry) {
      if (this.#inFlight + this.#promised >= this.#limits.concurrency) break;
      this.#hungry.delete(other);
      this.#advance(other, now);
    }
    this.#advance(entry, now);
    this.#forget(entry);
  }

  #advance(entry: Service, now: number): void {
    if (this.#stopped || !entry.more || entry.claiming) return;
    if (entry.retries.length >= this.#limits.maxRetrying) return;
    if (!entry.available) {
      if (entry.checking) return;
      if (now < entry.nextCheck) {
        this.#wakeAt(entry.nextCheck);
        return;
      }
      entry.checking = true;
      this.#effects.check(entry.name);
      return;
    }
    const { concurrency, perService } = this.#limits;
    const free = concurrency - this.#inFlight - this.#promised;
    if (free <= 0) this.#hungry.add(entry);
    const limit = Math.min(free, perService - entry.inFlight);
    if (limit <= 0) return;
    entry.claiming = true;
    this.#promised += limit;
    this.#effects.claim(entry.name, limit);
  }

  #wantsCheck(entry: Service): boolean {
    return (
      entry.more &&
      !entry.available &&
      !entry.checking &&
      !entry.claiming &&
      entry.retries.length < this.#limits.maxRetrying
    );
  }

  #forget(entry: Service): void {
    if (entry.more || entry.claiming || entry.checking || entry.inFlight > 0 || entry.retries.length > 0)
      return;
    this.#services.delete(key(entry.name));
    this.#hungry.delete(entry);
  }

  #wakeAt(time: number): void {
    if (time < this.#wake) this.#wake = time;
  }

  #delay(attempts: number): number {
    const { retryDelay, maxRetryDelay } = this.#limits;
    return Math.ceil(backOff(attempts - 1, retryDelay, maxRetryDelay, this.#random));
  }
}

/** Whether a service had got to a request in its line. */
function wasFirst({ answered, lastAnswered }: Service, { number, ahead, answeredBefore }: Place): boolean {
  return lastAnswered > number || answered - answeredBefore >= ahead;
}

function key(service: Buffer): string {
  return service.toString("latin1");
}
