/** Drives the dispatch rules: between a store and the services that it calls. */

import { setMaxListeners } from "node:events";
import timers from "node:timers/promises";
import { backOff } from "../../core/back-off.js";
import { DriverTimer } from "../../core/driver-timer.js";
import { AbortedError, ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { type FailureReason, messageOf, ServiceError } from "../kit/errors.js";
import { StoreError } from "../kit/store/error.js";
import {
  type DeliveryEnd,
  type DispatchLimits,
  DispatchRules,
  type TitanicDispatchStats,
} from "./dispatch-rules.js";
import type { TitanicClaimedRequest, TitanicStore } from "./store.js";

/** How a dispatcher reaches the services: a Majordomo client, in a narrow form. */
export interface ServiceCaller {
  /** Whether the broker has a worker for the service (8/MMI, mmi.service). Rejects when the broker does not say. */
  available(service: Buffer): Promise<boolean>;
  /** The reply's body, 1 or more frames. Rejects when there is none in time. */
  call(service: Buffer, body: readonly Buffer[]): Promise<readonly Buffer[]>;
}

/** What else a dispatcher needs to know. */
export interface DispatcherOptions {
  readonly limits: DispatchLimits;
  /** ms that a claim holds in a shared store: longer than a call can last. */
  readonly lease: number;
  /** ms that a reply is kept. */
  readonly replyTtl: number;
  /** ms that a dead letter is kept. */
  readonly deadLetterTtl: number;
  /** ms for which a reply that the store did not take is offered again: no longer than the claim holds. */
  readonly replyPatience: number;
  /** ms between two removals of what expired. */
  readonly expireInterval: number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** What a dispatcher reports. */
export interface DispatcherEvents {
  answered(request: TitanicClaimedRequest): void;
  failed(request: TitanicClaimedRequest, error: unknown): void;
  died(request: TitanicClaimedRequest, reason: string): void;
  expired(count: number): void;
  storeFailed(error: unknown): void;
}

/** Why a call ended before the service had the request. */
const UNDELIVERED: ReadonlySet<FailureReason> = new Set([
  "no-service",
  "overloaded",
  "expired",
  "stopping",
  "broker-lost",
]);
/** Characters of the text that says why a request was given up. */
const MAX_REASON = 1_000;
/** Records that one step removes; between two steps other work has its turn. */
const EXPIRE_BATCH = 1_000;
/** ms past a due time that count, when the process stood still. */
const MAX_STEP = 1_000;

export class Dispatcher {
  readonly #store: TitanicStore;
  readonly #caller: ServiceCaller;
  readonly #options: DispatcherOptions;
  readonly #events: DispatcherEvents;
  readonly #timer = new DriverTimer(MAX_STEP);
  readonly #rules: DispatchRules;
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  /** Why the last attempt of a request failed, from its end until the rules have said what becomes of it. */
  readonly #errors = new Map<TitanicClaimedRequest, unknown>();
  #expiry: NodeJS.Timeout;
  #stopped = false;

  constructor(
    store: TitanicStore,
    caller: ServiceCaller,
    options: DispatcherOptions,
    events: DispatcherEvents,
  ) {
    setMaxListeners(0, this.#stop.signal); // Each answer that waits for the store has a listener.
    this.#store = store;
    this.#caller = caller;
    this.#options = options;
    this.#events = events;
    this.#rules = new DispatchRules(
      options.limits,
      {
        check: (service) => this.#run(this.#check(service)),
        claim: (service, limit) => this.#run(this.#claim(service, limit)),
        deliver: (request) => this.#run(this.#deliver(request)),
        release: (request, delay, failed) => this.#run(this.#release(request, delay, failed)),
        bury: (request) => this.#run(this.#bury(request)),
        scan: () => this.#run(this.#scan()),
      },
      this.#timer.now(),
    );
    this.#timer.start(this.#rules);
    this.#expiry = setTimeout(this.#expiryOnDue, options.expireInterval);
  }

  /** A request of this service is in the store. */
  stored(service: Buffer): void {
    this.#rules.stored(service, this.#timer.now());
    this.#timer.update();
  }

  stats(): TitanicDispatchStats {
    return this.#rules.stats();
  }

  /** Begins nothing more. Settles when the calls that were under way have ended; the caller ends them sooner. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stop.abort();
    this.#rules.stop();
    this.#timer.stop();
    clearTimeout(this.#expiry);
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #check(service: Buffer): Promise<void> {
    const available = await this.#isThere(service);
    this.#rules.checked(service, available, this.#timer.now());
  }

  #isThere(service: Buffer): Promise<boolean> {
    // No broker answered: the requests stay, and the service is asked about again.
    return this.#caller.available(service).catch(() => false);
  }

  async #claim(service: Buffer, limit: number): Promise<void> {
    // Replies that were committed together make room together: let all of them be counted first.
    await new Promise<void>((resolve) => setImmediate(resolve));
    const requests = await this.#attempt(() => this.#store.claim(service, limit, this.#options.lease));
    this.#rules.claimed(service, requests ?? [], limit, this.#timer.now());
  }

  async #deliver(request: TitanicClaimedRequest): Promise<void> {
    let end: DeliveryEnd;
    try {
      const reply = await this.#caller.call(request.service, request.body);
      end = await this.#keep(request, reply);
    } catch (error) {
      end = this.#stopped ? "undelivered" : endOf(error);
      // Where no worker is left nobody can say that one had it.
      if (end === "timed-out" && !(await this.#isThere(request.service))) end = "undelivered";
      // A call given up because this process stops proves nothing about the service.
      if (!this.#stopped) this.#events.failed(request, error);
      this.#errors.set(request, error);
    }
    this.#rules.settled(request, end, this.#timer.now());
    this.#errors.delete(request);
  }

  /**
   * Keeps a reply. While the store fails it is offered again: the work is done, and asking the service once more
   * would do it twice. A store that may have it, and lost its answer, has the reply of the same UUID then.
   */
  async #keep(request: TitanicClaimedRequest, reply: readonly Buffer[]): Promise<DeliveryEnd> {
    const { limits, replyPatience, replyTtl, wallClock } = this.#options;
    const deadline = this.#timer.now() + replyPatience;
    let unsure = false;
    for (let attempts = 0; ; attempts++) {
      try {
        // Not taken: closed or expired meanwhile, or answered by another. Nobody waits for it, which is as good.
        const taken = await this.#store.answer(request.uuid, reply, wallClock() + replyTtl);
        if (taken || (unsure && (await this.#store.look(request.uuid)).state === "answered"))
          this.#events.answered(request);
        return "answered";
      } catch (error) {
        if (!(error instanceof ClosedError)) this.#events.storeFailed(error);
        if (!(error instanceof StoreError) || error.reason === "taken") return "undelivered";
        unsure ||= error.reason === "outcome-unknown";
      }
      const pause = backOff(attempts, limits.retryDelay, limits.maxRetryDelay, Math.random);
      if (this.#stopped || this.#timer.now() + pause > deadline) return "undelivered";
      // Aborted: the loop ends by `#stopped`.
      await timers.setTimeout(pause, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #release(request: TitanicClaimedRequest, delay: number, failed: boolean): Promise<void> {
    await this.#attempt(() => this.#store.release(request.uuid, this.#stopped ? 0 : delay, failed));
  }

  async #bury(request: TitanicClaimedRequest): Promise<void> {
    const { deadLetterTtl, limits, wallClock } = this.#options;
    const reason = textOf(this.#errors.get(request));
    const died = wallClock();
    const burial = { attempts: request.attempts, reason, died, expires: died + deadLetterTtl };
    const done = await this.#attempt(() => this.#store.bury(request.uuid, burial));
    if (done === true) this.#events.died(request, reason);
    if (done === undefined) await this.#release(request, limits.maxRetryDelay, false);
  }

  async #scan(): Promise<void> {
    const services = await this.#attempt(() => this.#store.services(this.#options.limits.maxServices));
    if (services === undefined) this.#rules.scanFailed(this.#timer.now());
    else this.#rules.found(services, this.#timer.now());
  }

  #expiryOnDue = (): void => {
    this.#run(this.#expire());
  };

  async #expire(): Promise<void> {
    let count: number | undefined;
    do {
      count = await this.#attempt(() => this.#store.expire(EXPIRE_BATCH));
      if (count !== undefined && count > 0) this.#events.expired(count);
    } while (count === EXPIRE_BATCH && !this.#stopped);
    if (!this.#stopped) this.#expiry = setTimeout(this.#expiryOnDue, this.#options.expireInterval);
  }

  async #attempt<T>(action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ClosedError)) this.#events.storeFailed(error);
      return undefined;
    }
  }

  #run(work: Promise<void>): void {
    const running: Promise<void> = work.finally(() => {
      this.#running.delete(running);
      this.#timer.update();
    });
    this.#running.add(running);
  }
}

function endOf(error: unknown): DeliveryEnd {
  if (error instanceof TimeoutError) return "timed-out";
  if (error instanceof ServiceError) return UNDELIVERED.has(error.reason) ? "undelivered" : "failed";
  const ours = [ClosedError, AbortedError, InvalidStateError];
  return ours.some((type) => error instanceof type) ? "undelivered" : "failed";
}

function textOf(error: unknown): string {
  return messageOf(error).slice(0, MAX_REASON);
}
