/**
 * Retrying client (the Guide's Lazy Pirate): one request at a time.
 *
 *           request            time-out, cut off        delay over
 *   free -------------> waiting ---------------> resting ---------> waiting …
 *     ^                    |                        |
 *     +------ reply -------+    after the last attempt: failed, and free again
 *
 * Each attempt is at the next server. After a timeout the socket is new, so that a late reply cannot be mistaken for
 * another's. The first round through the servers has no delay; later rounds double it, with jitter.
 */
import { backOff } from "../../core/back-off.js";

export interface RequestRulesOptions {
  readonly servers: number;
  /** ms per attempt. */
  readonly attemptTimeout: number;
  /** Attempts after the first; may be infinite. */
  readonly retries: number;
  /** ms before a server's second visit; doubled each round. */
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
}

export interface RequestEffects {
  /** Reuses the socket unless it was abandoned. */
  send(server: number): void;
  abandon(server: number): void;
  failed(attempts: number): void;
  /** The next attempt starts after `delay` ms. */
  retrying(attempt: number, delay: number, reason: RetryReason): void;
}

/** Why an attempt ended. */
export type RetryReason = "timeout" | "disconnected";

type State = "free" | "waiting" | "resting";

export class RequestRules {
  readonly #options: RequestRulesOptions;
  #servers: number;
  readonly #effects: RequestEffects;
  readonly #random: () => number;
  #state: State = "free";
  #server = 0;
  #attempt = 0;
  #request = 0;
  #timeout: number;
  #retries: number;
  #deadline = Number.POSITIVE_INFINITY;

  /** @param random from 0 up to 1 */
  constructor(options: RequestRulesOptions, effects: RequestEffects, random: () => number = Math.random) {
    this.#options = options;
    this.#servers = options.servers;
    this.#effects = effects;
    this.#random = random;
    this.#timeout = options.attemptTimeout;
    this.#retries = options.retries;
  }

  get server(): number {
    return this.#server;
  }

  get waits(): boolean {
    return this.#state === "waiting";
  }

  /** @param server current or next server */
  setServers(servers: number, server: number): void {
    this.#servers = servers;
    this.#server = server;
  }

  /** The previous request has ended. */
  request(now: number, timeout = this.#options.attemptTimeout, retries = this.#options.retries): void {
    this.#attempt = 0;
    this.#request += 1;
    this.#timeout = timeout;
    this.#retries = retries;
    this.#send(now);
  }

  reply(): boolean {
    if (this.#state !== "waiting") return false;
    this.#state = "free";
    this.#deadline = Number.POSITIVE_INFINITY;
    return true;
  }

  disconnected(now: number): void {
    if (this.#state === "waiting") this.#attemptOver(now, "disconnected");
  }

  cancel(): void {
    if (this.#state === "waiting") this.#effects.abandon(this.#server);
    this.#state = "free";
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  /**
   * Ends the request by its overall timeout. A server that had it may be hanging: the next request starts at the next
   * one.
   */
  timeOut(): void {
    const waited = this.#state === "waiting";
    this.cancel();
    if (waited) this.#server = (this.#server + 1) % this.#servers;
  }

  tick(now: number): void {
    if (now < this.#deadline) return;
    if (this.#state === "resting") this.#send(now);
    else if (this.#state === "waiting") this.#attemptOver(now, "timeout");
  }

  nextWakeUp(): number | undefined {
    return this.#deadline === Number.POSITIVE_INFINITY ? undefined : this.#deadline;
  }

  #send(now: number): void {
    this.#attempt += 1;
    this.#state = "waiting";
    this.#deadline = now + this.#timeout;
    this.#effects.send(this.#server);
  }

  #attemptOver(now: number, reason: RetryReason): void {
    const server = this.#server;
    this.#effects.abandon(server);
    this.#server = (server + 1) % this.#servers;
    if (this.#attempt > this.#retries) {
      this.#state = "free";
      this.#deadline = Number.POSITIVE_INFINITY;
      this.#effects.failed(this.#attempt);
      return;
    }
    const delay = this.#delay();
    this.#state = "resting";
    this.#deadline = now + delay;
    const request = this.#request;
    this.#effects.retrying(this.#attempt, delay, reason);
    // A listener may have started another request.
    const rests = this.#state === "resting" && this.#request === request;
    if (delay === 0 && rests) this.#send(now);
  }

  /** Jitter keeps clients from reconnecting together. */
  #delay(): number {
    const round = Math.floor(this.#attempt / this.#servers);
    if (round === 0) return 0;
    return backOff(round - 1, this.#options.retryDelay, this.#options.maxRetryDelay, this.#random);
  }
}
