/** Runs the dispatch state machine between a store and the services. */

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

/** Narrow interface of a Majordomo client. */
export interface ServiceCaller {
  /** Whether the broker has a worker for the service (8/MMI, mmi.service). Rejects if the broker does not answer. */
  available(service: Buffer): Promise<boolean>;
  /** Returns the reply's body, one or more frames. Rejects on timeout. */
  call(service: Buffer, body: readonly Buffer[]): Promise<readonly Buffer[]>;
}

export interface DispatcherOptions {
  readonly limits: DispatchLimits;
  /** ms that a claim is held in a shared store; longer than a call. */
  readonly lease: number;
  /** ms that a reply is kept. */
  readonly replyTtl: number;
  /** ms that a dead letter is kept. */
  readonly deadLetterTtl: number;
  /** ms for retrying to store a reply; no longer than the claim. */
  readonly replyPatience: number;
  /** ms between removals of expired records. */
  readonly expireInterval: number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

export interface DispatcherEvents {
  answered(request: TitanicClaimedRequest): void;
  failed(request: TitanicClaimedRequest, error: unknown): void;
  died(request: TitanicClaimedRequest, reason: string): void;
  expired(count: number): void;
  storeFailed(error: unknown): void;
}

/** Failures before the service had the request. */
const UNDELIVERED: ReadonlySet<FailureReason> = new Set([
  "no-service",
  "overloaded",
  "expired",
  "stopping",
  "broker-lost",
]);
/** Characters of a dead letter's reason. */
const MAX_REASON = 1_000;
/** Records removed per step; other work runs between steps. */
const EXPIRE_BATCH = 1_000;
/** Longest overdue time in ms that counts after a pause of the process. */
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
  /** Error of a request's last attempt, until it is decided what happens next. */
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

  stored(service: Buffer): void {
    this.#rules.stored(service, this.#timer.now());
    this.#timer.update();
  }

  stats(): TitanicDispatchStats {
    return this.#rules.stats();
  }

  /** Starts nothing more. Settles when calls in flight have ended; the caller ends them early. */
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
    // No broker answered: requests stay, and the service is checked again.
    return this.#caller.available(service).catch(() => false);
  }

  async #claim(service: Buffer, limit: number): Promise<void> {
    // Counts all replies of one commit before claiming more.
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
      // Without workers it is unknown whether one had the request.
      if (end === "timed-out" && !(await this.#isThere(request.service))) end = "undelivered";
      // A call cancelled by closing says nothing about the service.
      if (!this.#stopped) this.#events.failed(request, error);
      this.#errors.set(request, error);
    }
    this.#rules.settled(request, end, this.#timer.now());
    this.#errors.delete(request);
  }

  /**
   * Stores a reply, with retries while the store fails: calling the service again would repeat the work. If the
   * store's answer was lost, the retry finds the same UUID.
   */
  async #keep(request: TitanicClaimedRequest, reply: readonly Buffer[]): Promise<DeliveryEnd> {
    const { limits, replyPatience, replyTtl, wallClock } = this.#options;
    const deadline = this.#timer.now() + replyPatience;
    let unsure = false;
    for (let attempts = 0; ; attempts++) {
      try {
        // Not stored: closed, expired, or already answered. The reply is not needed.
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
