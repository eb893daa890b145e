/** Runs the dispatch state machine between a store and the services. */

import { setMaxListeners } from "node:events";
import timers from "node:timers/promises";
import { thrownText } from "../../core/arguments.js";
import { ClosedError, InvalidStateError, type ShoalError, TimeoutError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { backOff, DriverTimer } from "../../core/timers.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import { type FailureReason, ServiceError } from "../../kit/errors.js";
import { StoreError } from "../../store/store.js";
import type { MajordomoClient } from "../majordomo/index.js";
import { type DeliveryEnd, DispatchRules, type TitanicSettings } from "./dispatch-rules.js";
import { formatUuid } from "./protocol.js";
import type { TitanicClaimedRequest, TitanicStore } from "./store.js";

export const EVENTS = {
  /** A call failed and will be retried. */
  "request:retried": event<{
    readonly uuid: string;
    readonly service: string;
    readonly attempts: number;
    readonly error: unknown;
  }>(),
  /** A request became a dead letter. */
  "request:dead": event<{
    readonly uuid: string;
    readonly service: string;
    readonly attempts: number;
    readonly reason: string;
  }>(),
  /** Expired requests, replies and dead letters were removed. */
  "records:expired": event<{ readonly count: number }>(),
  /** An unreadable record was found. */
  "record:damaged": event<{ readonly uuid: string; readonly reason: string }>(),
  /** A malformed client request was answered with 500. */
  "request:invalid": event<{ readonly reason: string }>(),
  /** The client got 500, or 502 if the outcome is unknown. */
  "store:failed": event<{ readonly error: unknown }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type TitanicEvent = EventsOf<typeof EVENTS>;

/** ms that a request may wait behind others at its service, about: a broker's queueTimeout is that long. */
export const MAX_QUEUED = 25_000;
/** ms by which a lease outlasts a call's timeout: to wait, and to store the reply. */
const LEASE_MARGIN = 30_000;

/** The service did not have the request. */
const UNDELIVERED: ReadonlySet<FailureReason> = new Set([
  "no-service",
  "overloaded",
  "expired",
  "stopping",
  "broker-lost",
]);
/** Characters. */
const MAX_REASON = 1_000;
/** Records removed at once. */
const EXPIRE_BATCH = 1_000;
/** ms of a pause of the process that count. */
const MAX_STEP = 1_000;

export class Dispatcher {
  readonly #store: TitanicStore;
  readonly #client: MajordomoClient;
  readonly #options: TitanicSettings;
  readonly #emit: (event: TitanicEvent) => void;
  readonly #counters = { answered: 0, failed: 0, died: 0, expired: 0 };
  readonly #timer = new DriverTimer(MAX_STEP);
  readonly #rules: DispatchRules;
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  /** Of calls in flight. */
  readonly #calls = new Map<TitanicClaimedRequest, (error: ShoalError) => void>();
  /** Of the attempt that is settled now. */
  #error: unknown;
  #expiry: NodeJS.Timeout;
  #stopped = false;
  /** Last service of a scan that was full. */
  #scanned: Buffer | undefined;

  constructor(
    store: TitanicStore,
    client: MajordomoClient,
    options: TitanicSettings,
    emit: (event: TitanicEvent) => void,
  ) {
    setMaxListeners(0, this.#stop.signal); // Each answer that waits for the store has a listener.
    this.#store = store;
    this.#client = client;
    this.#options = options;
    this.#emit = emit;
    this.#rules = new DispatchRules(
      options,
      {
        check: (service) => this.#run(this.#check(service)),
        claim: (service, limit) => this.#run(this.#claim(service, limit)),
        deliver: (request) => this.#run(this.#deliver(request)),
        giveUp: (request) =>
          this.#calls.get(request)?.(new TimeoutError("ETIMEDOUT", `${request.service}: no answer in time`)),
        release: (request, delay, failed) => {
          const error = this.#error;
          // A call cancelled by closing says nothing about the service.
          if (error !== undefined && !this.#stopped)
            this.#emit({ type: "request:retried", ...described(request), error });
          this.#run(this.#release(request, delay, failed));
        },
        markDead: (request) => this.#run(this.#markDead(request)),
        scan: () => this.#run(this.#scan()),
      },
      this.#timer.now(),
    );
    // A plain broker gets one request at a time. Others would wait at the client, and time out there.
    this.#rules.concurrency = 1;
    client.events.on("broker:joined", ({ extended }) => {
      this.#rules.concurrency = extended ? options.concurrency : 1;
    });
    this.#timer.start(this.#rules);
    this.#expiry = setTimeout(this.#expiryOnDue, options.expireInterval);
  }

  stored(service: Buffer): void {
    this.#timer.run((now) => this.#rules.stored(service, now));
  }

  stats() {
    return { ...this.#counters, ...this.#rules.stats() };
  }

  /** Settles when calls in flight have ended; closing the client ends them. */
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

  /** 8/MMI, mmi.service. */
  async #isThere(service: Buffer): Promise<boolean> {
    const timeout = this.#options.checkTimeout;
    try {
      const [status] = await this.#client.request("mmi.service", [service], { timeout });
      return String(status) === "200";
    } catch {
      // No broker answered: requests stay, and the service is checked again.
      return false;
    }
  }

  async #claim(service: Buffer, limit: number): Promise<void> {
    // All replies of one commit count before.
    await new Promise<void>((resolve) => setImmediate(resolve));
    const requests = await this.#attempt(() =>
      this.#store.claim(service, limit, this.#options.timeout + LEASE_MARGIN),
    );
    this.#rules.claimed(service, requests ?? [], limit, this.#timer.now());
  }

  async #deliver(request: TitanicClaimedRequest): Promise<void> {
    let end: DeliveryEnd;
    try {
      const started = (endCall: (error: ShoalError) => void): unknown => this.#calls.set(request, endCall);
      const service = request.service.toString();
      const reply = await this.#client.requestAs(service, [...request.body], (frames) => frames, { started });
      end = await this.#keep(request, reply);
    } catch (error) {
      end = this.#stopped ? "undelivered" : endOf(error);
      // Without workers it is unknown whether one had the request.
      if (end === "timed-out" && !(await this.#isThere(request.service))) end = "undelivered";
      if (!this.#stopped) this.#counters.failed += 1;
      this.#error = error;
    }
    this.#rules.settled(request, end, this.#timer.now());
    this.#error = undefined;
    this.#calls.delete(request);
  }

  /** Stores a reply, with retries: calling the service again would repeat the work. */
  async #keep(request: TitanicClaimedRequest, reply: readonly Buffer[]): Promise<DeliveryEnd> {
    const { retryDelay, maxRetryDelay, replyTtl } = this.#options;
    const deadline = this.#timer.now() + LEASE_MARGIN;
    let unsure = false;
    for (let attempts = 0; ; attempts++) {
      try {
        // Not taken: closed, expired, or answered before.
        const taken = await this.#store.answer(request.uuid, reply, Date.now() + replyTtl);
        if (taken || (unsure && (await this.#store.look(request.uuid)).state === "answered"))
          this.#counters.answered += 1;
        return "answered";
      } catch (error) {
        this.#storeFailed(error);
        if (!(error instanceof StoreError) || error.reason === "taken") return "undelivered";
        unsure ||= error.reason === "outcome-unknown";
      }
      const pause = backOff(attempts, retryDelay, maxRetryDelay, Math.random);
      if (this.#stopped || this.#timer.now() + pause > deadline) return "undelivered";
      // Aborted: the loop ends by `#stopped`.
      await timers.setTimeout(pause, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #release(request: TitanicClaimedRequest, delay: number, failed: boolean): Promise<void> {
    await this.#attempt(() => this.#store.release(request.uuid, this.#stopped ? 0 : delay, failed));
  }

  async #markDead(request: TitanicClaimedRequest): Promise<void> {
    const { deadLetterTtl, maxRetryDelay } = this.#options;
    const reason = thrownText(this.#error).slice(0, MAX_REASON);
    const died = Date.now();
    const death = { attempts: request.attempts, reason, died, expires: died + deadLetterTtl };
    const done = await this.#attempt(() => this.#store.markDead(request.uuid, death));
    if (done === undefined) await this.#release(request, maxRetryDelay, false);
    if (done !== true) return;
    this.#counters.died += 1;
    this.#emit({ type: "request:dead", ...described(request), reason });
  }

  async #scan(): Promise<void> {
    const { maxServices } = this.#options;
    const after = this.#scanned;
    const services = await this.#attempt(() => this.#store.services(maxServices, after));
    const isFull = services !== undefined && services.length >= maxServices;
    this.#scanned = isFull ? services.at(-1) : undefined;
    this.#rules.found(services, after === undefined && !isFull, this.#timer.now());
  }

  #expiryOnDue = (): void => {
    this.#run(this.#expire());
  };

  async #expire(): Promise<void> {
    let count: number | undefined;
    do {
      count = await this.#attempt(() => this.#store.expire(EXPIRE_BATCH));
      if (count !== undefined && count > 0) {
        this.#counters.expired += count;
        this.#emit({ type: "records:expired", count });
      }
    } while (count === EXPIRE_BATCH && !this.#stopped);
    if (!this.#stopped) this.#expiry = setTimeout(this.#expiryOnDue, this.#options.expireInterval);
  }

  async #attempt<T>(action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      this.#storeFailed(error);
      return undefined;
    }
  }

  #storeFailed(error: unknown): void {
    if (!(error instanceof ClosedError)) this.#emit({ type: "store:failed", error });
  }

  #run(work: Promise<void>): void {
    const running: Promise<void> = work.finally(() => {
      this.#running.delete(running);
      this.#timer.update();
    });
    this.#running.add(running);
  }
}

function described({ uuid, service, attempts }: TitanicClaimedRequest) {
  return { uuid: formatUuid(uuid), service: service.toString(), attempts };
}

function endOf(error: unknown): DeliveryEnd {
  if (error instanceof TimeoutError) return "timed-out";
  if (error instanceof ServiceError) return UNDELIVERED.has(error.reason) ? "undelivered" : "failed";
  return error instanceof ClosedError || error instanceof InvalidStateError ? "undelivered" : "failed";
}
