/** Drives the dispatch rules: between a store and the services that it calls. */
import { ClosedError } from "../../core/errors.js";
import { DriverTimer } from "../common/driver-timer.js";
import { type DispatchLimits, DispatchRules, type DispatchStats } from "./dispatch-rules.js";
import type { ClaimedRequest, TitanicStore } from "./store.js";

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
  /** ms between two removals of what expired. */
  readonly expireInterval: number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** What a dispatcher tells. */
export interface DispatcherEvents {
  answered(request: ClaimedRequest): void;
  failed(request: ClaimedRequest, error: unknown): void;
  expired(count: number): void;
  storeFailed(error: unknown): void;
}

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
  #expiry: NodeJS.Timeout;
  #stopped = false;

  constructor(
    store: TitanicStore,
    caller: ServiceCaller,
    options: DispatcherOptions,
    events: DispatcherEvents,
  ) {
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
        release: (request, delay) => this.#run(this.#release(request, delay)),
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

  stats(): DispatchStats {
    return this.#rules.stats();
  }

  /** Begins nothing more. Settles when the calls that were under way have ended; the caller ends them sooner. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#rules.stop();
    this.#timer.stop();
    clearTimeout(this.#expiry);
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #check(service: Buffer): Promise<void> {
    const available = await this.#caller.available(service).catch(() => false);
    this.#rules.checked(service, available, this.#timer.now());
  }

  async #claim(service: Buffer, limit: number): Promise<void> {
    // Replies that were committed together make room together: let all of them be counted first.
    await new Promise<void>((resolve) => setImmediate(resolve));
    const requests = await this.#attempt(() => this.#store.claim(service, limit, this.#options.lease));
    this.#rules.claimed(service, requests ?? [], limit, this.#timer.now());
  }

  async #deliver(request: ClaimedRequest): Promise<void> {
    let answered = false;
    try {
      const reply = await this.#caller.call(request.service, request.body);
      const expires = this.#options.wallClock() + this.#options.replyTtl;
      // Not taken: closed or expired meanwhile, or answered by another. Nobody waits for it, which is as good.
      const taken = await this.#attempt(() => this.#store.answer(request.uuid, reply, expires));
      answered = taken !== undefined;
      if (taken === true) this.#events.answered(request);
    } catch (error) {
      // A call given up because this process stops says nothing about the service.
      if (!this.#stopped) this.#events.failed(request, error);
    }
    this.#rules.settled(request, answered, this.#timer.now());
  }

  async #release(request: ClaimedRequest, delay: number): Promise<void> {
    await this.#attempt(() => this.#store.release(request.uuid, this.#stopped ? 0 : delay));
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
