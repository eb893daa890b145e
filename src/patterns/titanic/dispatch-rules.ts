/**
 * Options of Titanic, and the rules that they set: when a stored request goes to its service.
 *
 *   asleep --request stored, found, or a retry is due--> checking (mmi.service)
 *   checking --there--> serving: claims while it has capacity
 *   checking --not there, no answer--> waiting, longer each time --> checking
 *   serving --nothing left to claim, nothing in flight--> forgotten
 *   serving --a call failed--> checking, and that request again after a while
 *
 * Delivery is at least once, and repeated when a reply is lost or late (9/TSP, Reliability). A service handles requests
 * in order, so a timed-out call may have waited behind others. The call counts as an attempt once a later request was
 * answered, or all earlier ones were. Until then its timeout begins anew: otherwise a service with a long queue would
 * answer only calls that have ended.
 */
import { Link } from "../../core/collections/queues.js";
import { keyOf } from "../../core/memory.js";
import { backOff, Deadlines, type Due } from "../../core/timers.js";
import { type Given, integer, object, type Settings } from "../../kit/options.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import { costOfRequest, MAX_CLAIM_BYTES, type TitanicClaimedRequest } from "./store.js";

// --- Options ---------------------------------------------------------------------------------------------------------

const DAY = 86_400_000;

export const OPTIONS = {
  /** Timeout of one attempt, once the service had it; a slower service gets the request again. Default 30,000. */
  timeout: integer({ default: 30_000 }),
  /** Failed attempts, 1 or more, before a request becomes a dead letter and its client gets "503". Default 10. */
  maxAttempts: integer({ default: 10 }),
  /** Requests in flight to services until the reply is on disk. Default 1,024. */
  concurrency: integer({ default: 1_024, max: 1_073_741_823 }), // The client has twice as many.
  /** Requests in flight per service. Default 512. */
  perService: integer({ default: 512 }),
  /** First interval between checks of a missing service; doubled up to `maxCheckInterval`. Default 1,000. */
  checkInterval: integer({ default: 1_000, min: 0 }),
  /** Default 10,000. */
  maxCheckInterval: integer({ default: 10_000, min: 0 }),
  /** First delay before a retry; doubled up to `maxRetryDelay`, up to half of it random. Default 1,000. */
  retryDelay: integer({ default: 1_000, min: 0 }),
  /** Default 60,000. */
  maxRetryDelay: integer({ default: 60_000, min: 0 }),
  /** Requests of a service that wait for a retry before no more are started. Default 1,000. */
  maxRetrying: integer({ default: 1_000, min: 0 }),
  /** Tracked services, of which missing ones make room; others' requests wait in the store. Default 10,000. */
  maxServices: integer({ default: 10_000, min: 0 }),
  /** Between scans of the store for requests of other processes. Default 5,000. */
  scanInterval: integer({ default: 5_000, min: 0 }),
  /** How long a request is kept and retried. Default one day. */
  requestTtl: integer({ default: DAY }),
  /** How long a reply is kept. Default one day. */
  replyTtl: integer({ default: DAY }),
  /** How long a dead letter is kept. Default 7 days. */
  deadLetterTtl: integer({ default: 7 * DAY }),
  /** Client requests in flight per Titanic service, at most 65,535; bounds one commit. Default 4,096. */
  workerConcurrency: integer({ default: 4_096, max: 65_535 }),
  /** Timeout of a service check. Default 2,500. */
  checkTimeout: integer({ default: 2_500 }),
  /** Between removals of expired records. Default 1,000. */
  expireInterval: integer({ default: 1_000, min: 0 }),
  /** Options of the broker sockets: security, context. */
  socketOptions: object<DealerOptions>(["codec"]),
};

/** Options of {@link Titanic}. Times in ms. */
export type TitanicOptions = Given<typeof OPTIONS>;

export type TitanicSettings = Settings<typeof OPTIONS>;

// --- Rules -----------------------------------------------------------------------------------------------------------

/** `answered`: the reply is stored, or the request is gone. */
export type DeliveryEnd = "answered" | "failed" | "timed-out" | "undelivered";

export interface DispatchEffects {
  /** Asks the broker for the service; `checked` follows. */
  check(service: Buffer): void;
  /** `claimed` follows. */
  claim(service: Buffer, limit: number): void;
  /** Sends a request to its service and stores the reply; `settled` follows. */
  deliver(request: TitanicClaimedRequest): void;
  /** Ends a delivery that timed out; `settled` follows. */
  giveUp(request: TitanicClaimedRequest): void;
  /** @param failed counts an attempt */
  release(request: TitanicClaimedRequest, delay: number, failed: boolean): void;
  /** Makes it a dead letter. */
  markDead(request: TitanicClaimedRequest): void;
  /** Looks for services with requests; `found` follows. */
  scan(): void;
}

/** Bytes of requests in flight; with more, nothing is claimed. A service claims up to half. The client takes 256 MiB. */
const MAX_BYTES = 134_217_728;
/** ms between two passes over all services. */
const GRAIN = 20;

class Service {
  readonly name: Buffer;
  /** Whether the store may have unclaimed requests, besides those of a claim in flight. */
  more = true;
  available = false;
  checking = false;
  claiming = false;
  storedSinceScan = true;
  /** Time of the next check; the next pause. */
  nextCheck: number;
  pause: number;
  inFlight = 0;
  bytes = 0;
  /** Due times of released requests, unordered. */
  retries: number[] = [];
  /** Deliveries started and answered, and the highest number answered. */
  delivered = 0;
  answered = 0;
  lastAnswered = 0;

  constructor(name: Buffer, now: number, pause: number) {
    this.name = Buffer.from(name); // A view of a received chunk.
    this.nextCheck = now;
    this.pause = pause;
  }
}

/** A request's place in its service's queue. */
interface Place extends Due {
  readonly request: TitanicClaimedRequest;
  readonly service: Service;
  /** Its timeout is that of the service, not of a wait. */
  reached: boolean;
  readonly number: number;
  /** Requests ahead of it, and answers by then. */
  readonly ahead: number;
  readonly answeredBefore: number;
  readonly bytes: number;
}

export class DispatchRules {
  /** Requests in flight at once; the broker in use may take fewer than the limit. */
  concurrency: number;
  readonly #limits: TitanicSettings;
  readonly #effects: DispatchEffects;
  readonly #random: () => number;
  /** Keys are names as latin1. */
  readonly #services = new Map<string, Service>();
  /** Services that wait for a free place, in order. */
  readonly #hungry = new Set<Service>();
  readonly #places = new Map<TitanicClaimedRequest, Link<Place>>();
  readonly #deadlines = new Deadlines<Place>();
  #inFlight = 0;
  #bytes = 0;
  /** Claims in flight, and places reserved by them. */
  #claims = 0;
  #promised = 0;
  #nextScan: number;
  #scanning = false;
  /** Earliest due time. */
  #wake: number;
  #lastTick = Number.NEGATIVE_INFINITY;
  #stopped = false;

  /** @param random for the jitter, from 0 up to 1 */
  constructor(
    limits: TitanicSettings,
    effects: DispatchEffects,
    now: number,
    random: () => number = Math.random,
  ) {
    this.concurrency = limits.concurrency;
    this.#limits = limits;
    this.#effects = effects;
    this.#random = random;
    this.#nextScan = now;
    this.#wake = now;
  }

  stored(service: Buffer, now: number): void {
    const entry = this.#wakeService(service, now);
    if (entry === undefined) return;
    entry.storedSinceScan = true;
    this.#advance(entry, now);
  }

  /**
   * @param services with stored requests, `maxServices` at most; `undefined`: the scan failed
   * @param areAll whether no others have any
   */
  found(services: readonly Buffer[] | undefined, areAll: boolean, now: number): void {
    this.#scanning = false;
    this.#nextScan = now + this.#limits.scanInterval;
    this.#wakeAt(this.#nextScan);
    if (services === undefined) return;
    if (areAll) this.#drop(services);
    for (const service of services) this.stored(service, now);
  }

  /** @param available `false` also if the broker did not answer */
  checked(service: Buffer, available: boolean, now: number): void {
    const entry = this.#services.get(keyOf(service)) as Service;
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

  /** Requests claimed, of `limit`. After a failure this is empty, and the next scan retries. */
  claimed(service: Buffer, requests: readonly TitanicClaimedRequest[], limit: number, now: number): void {
    const entry = this.#services.get(keyOf(service)) as Service;
    entry.claiming = false;
    this.#claims -= 1;
    this.#promised -= limit;
    let claimed = 0;
    for (const request of requests) {
      const bytes = costOfRequest(request);
      claimed += bytes;
      if (this.#stopped) {
        this.#effects.release(request, 0, false);
        continue;
      }
      entry.delivered += 1;
      const { delivered, inFlight, answered } = entry;
      const at = { number: delivered, ahead: inFlight, answeredBefore: answered, reached: inFlight === 0 };
      const link = new Link<Place>({ request, service: entry, ...at, bytes, deadline: 0 });
      this.#places.set(request, link);
      this.#deadlines.set(link, now, this.#limits.timeout);
      entry.inFlight += 1;
      this.#inFlight += 1;
      entry.bytes += bytes;
      this.#bytes += bytes;
      this.#effects.deliver(request);
    }
    if (requests.length >= limit || claimed >= MAX_CLAIM_BYTES) entry.more = true;
    this.#turn(entry, now);
  }

  settled(request: TitanicClaimedRequest, end: DeliveryEnd, now: number): void {
    const link = this.#places.get(request) as Link<Place>;
    const place = link.value;
    const entry = place.service;
    this.#places.delete(request);
    link.unlink();
    entry.inFlight -= 1;
    this.#inFlight -= 1;
    entry.bytes -= place.bytes;
    this.#bytes -= place.bytes;
    // A failure is an answer, too, to those that wait behind it.
    if (end === "answered" || end === "failed") {
      entry.answered += 1;
      entry.lastAnswered = Math.max(entry.lastAnswered, place.number);
    }
    if (end !== "answered") {
      entry.available = false;
      this.#putBack(entry, request, end === "failed" || (end === "timed-out" && wasFirst(entry, place)), now);
    }
    this.#turn(entry, now);
  }

  /** Stops claiming; deliveries in flight still settle. */
  stop(): void {
    this.#stopped = true;
  }

  nextWakeUp(): number | undefined {
    const next = Math.min(this.#wake, this.#deadlines.next() ?? Number.POSITIVE_INFINITY);
    if (!Number.isFinite(next)) return undefined;
    return Math.max(next, this.#lastTick + GRAIN);
  }

  tick(now: number): void {
    this.#lastTick = now;
    this.#wake = Number.POSITIVE_INFINITY;
    for (const place of this.#deadlines.take(now)) {
      const { request, service, reached } = place;
      place.reached = wasFirst(service, place);
      if (reached) this.#effects.giveUp(request);
      else this.#deadlines.set(this.#places.get(request) as Link<Place>, now, this.#limits.timeout);
    }
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
      }
      for (const due of entry.retries) this.#wakeAt(due);
      this.#advance(entry, now);
      this.#forget(entry);
    }
  }

  stats() {
    let retrying = 0;
    for (const { retries } of this.#services.values()) retrying += retries.length;
    return { services: this.#services.size, inFlight: this.#inFlight, retrying };
  }

  /** @returns `undefined` without room */
  #wakeService(service: Buffer, now: number): Service | undefined {
    const name = keyOf(service);
    let entry = this.#services.get(name);
    if (entry === undefined) {
      if (this.#services.size >= this.#limits.maxServices && !this.#evict()) return undefined;
      entry = new Service(service, now, this.#limits.checkInterval);
      this.#services.set(name, entry);
    }
    entry.more = true;
    return entry;
  }

  /** Removes services that the scan did not find: their requests are closed, expired or answered elsewhere. */
  #drop(found: readonly Buffer[]): void {
    const names = new Set(found.map((service) => keyOf(service)));
    for (const [name, entry] of [...this.#services]) {
      if (names.has(name) || entry.storedSinceScan) continue;
      entry.more = false;
      this.#forget(entry);
    }
  }

  #putBack(entry: Service, request: TitanicClaimedRequest, failed: boolean, now: number): void {
    if (failed && request.attempts >= this.#limits.maxAttempts) {
      this.#effects.markDead(request);
      return;
    }
    const { retryDelay, maxRetryDelay } = this.#limits;
    const delay = Math.ceil(backOff(request.attempts - 1, retryDelay, maxRetryDelay, this.#random));
    this.#effects.release(request, delay, failed);
    entry.retries.push(now + delay);
    this.#wakeAt(now + delay);
  }

  /** A place is free: waiting services come first, then the one that had it. */
  #turn(entry: Service, now: number): void {
    for (const other of this.#hungry) {
      if (this.#free <= 0) break;
      this.#hungry.delete(other);
      this.#advance(other, now);
    }
    this.#advance(entry, now);
    this.#forget(entry);
  }

  #advance(entry: Service, now: number): void {
    if (this.#stopped || !entry.more || entry.claiming) return;
    if (entry.retries.length >= this.#limits.maxRetrying || entry.bytes >= MAX_BYTES / 2) return;
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
    const free = this.#free;
    if (free <= 0) this.#hungry.add(entry);
    const limit = Math.min(free, this.#limits.perService - entry.inFlight);
    if (limit <= 0) return;
    entry.claiming = true;
    entry.more = false;
    this.#claims += 1;
    this.#promised += limit;
    this.#effects.claim(entry.name, limit);
  }

  get #free(): number {
    if (this.#bytes + this.#claims * MAX_CLAIM_BYTES >= MAX_BYTES) return 0;
    return this.concurrency - this.#inFlight - this.#promised;
  }

  #forget(entry: Service): void {
    if (entry.more || entry.claiming || entry.checking || entry.inFlight > 0 || entry.retries.length > 0)
      return;
    this.#services.delete(keyOf(entry.name));
    this.#hungry.delete(entry);
  }

  /** Forgets a missing service, which the next scan finds again: clients name any number of them. */
  #evict(): boolean {
    for (const entry of this.#services.values()) {
      const { name, available, checking, claiming, inFlight, retries } = entry;
      if (available || checking || claiming || inFlight + retries.length > 0) continue;
      this.#hungry.delete(entry);
      return this.#services.delete(keyOf(name));
    }
    return false;
  }

  #wakeAt(time: number): void {
    if (time < this.#wake) this.#wake = time;
  }
}

/** Whether the service had reached the request. */
function wasFirst({ answered, lastAnswered }: Service, { number, ahead, answeredBefore }: Place): boolean {
  return lastAnswered > number || answered - answeredBefore >= ahead;
}
