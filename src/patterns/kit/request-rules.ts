/**
 * A client that retries (the Guide's Lazy Pirate): one request at a time, given up and tried again when its
 * reply does not come in time or its connection ends, at the next server of the list.
 *
 *           request            time-out, cut off        delay over
 *   free -------------> waiting ---------------> resting ---------> waiting …
 *     ^                    |                        |
 *     +------ reply -------+    after the last attempt: failed, and free again
 *
 * Each attempt after a time-out is made on a new socket, so that a late reply cannot be
 * taken for another's: the address of the one it was for is gone. The first visit of each
 * server in a row costs no wait; from the second round on the wait doubles, with jitter.
 */
import { backOff } from "../../core/back-off.js";

/** What a client's rules are bounded by; all times in ms. */
export interface RequestRulesOptions {
  /** Servers to try in turn, at least 1. */
  readonly servers: number;
  /** ms an attempt waits for its reply. */
  readonly attemptTimeout: number;
  /** Further attempts after the first; may be infinite. */
  readonly retries: number;
  /** The wait before the second visit of a server; doubled each round up to `maxRetryDelay`. */
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
}

/** What a client's rules do to the world. */
export interface RequestEffects {
  /** Sends the request. The socket of the attempt before is still there if nothing was abandoned. */
  send(server: number): void;
  /** Closes the socket: nothing that comes over it counts any more. */
  abandon(server: number): void;
  /** The request has failed: no attempt had a reply. */
  failed(attempts: number): void;
  /** An attempt had no reply; the next is made after `delay` ms. */
  retrying(server: number, attempt: number, delay: number, reason: RetryReason): void;
}

/** Why an attempt is over: its time, or the end of its connection, or that there was none. */
export type RetryReason = "timeout" | "disconnected";

type State = "free" | "waiting" | "resting";

export class RequestRules {
  readonly #options: RequestRulesOptions;
  #servers: number;
  readonly #effects: RequestEffects;
  readonly #random: () => number;
  #state: State = "free";
  /** The server that answered last, or the one to try next. */
  #server = 0;
  #attempt = 0;
  /** Which request it is, from 1. */
  #request = 0;
  #timeout: number;
  #retries: number;
  #deadline = Number.POSITIVE_INFINITY;

  /** @param random for the jitter, from 0 up to 1 */
  constructor(options: RequestRulesOptions, effects: RequestEffects, random: () => number = Math.random) {
    this.#options = options;
    this.#servers = options.servers;
    this.#effects = effects;
    this.#random = random;
    this.#timeout = options.attemptTimeout;
    this.#retries = options.retries;
  }

  /** Whether an attempt waits for its reply. */
  get waits(): boolean {
    return this.#state === "waiting";
  }

  /** There are other servers now. @param server the one in use, or to be tried next */
  setServers(servers: number, server: number): void {
    this.#servers = servers;
    this.#server = server;
  }

  get free(): boolean {
    return this.#state === "free";
  }

  /** Begins a request; the one before has ended. */
  request(now: number, timeout = this.#options.attemptTimeout, retries = this.#options.retries): void {
    this.#attempt = 0;
    this.#request += 1;
    this.#timeout = timeout;
    this.#retries = retries;
    this.#send(now);
  }

  /** Whether what came is this request's reply: it came over the socket of the attempt that waits. */
  reply(): boolean {
    if (this.#state !== "waiting") return false;
    this.#state = "free";
    this.#deadline = Number.POSITIVE_INFINITY;
    return true;
  }

  /** The connection that the request was sent over has ended: no reply will come over it. */
  disconnected(now: number): void {
    if (this.#state === "waiting") this.#attemptOver(now, "disconnected");
  }

  /** The caller gives the request up. */
  cancel(): void {
    if (this.#state === "waiting") this.#effects.abandon(this.#server);
    this.#state = "free";
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  /**
   * The request's time is over. Where an attempt still waits, the next request begins at the next server: this one is there, perhaps, and
   * does not answer.
   *
   * @returns whether it begins there
   */
  timeOut(): boolean {
    const waited = this.#state === "waiting";
    this.cancel();
    if (waited) this.#server = (this.#server + 1) % this.#servers;
    return waited;
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
    this.#effects.retrying(server, this.#attempt, delay, reason);
    // A listener of that may have given the request up, and the next one may be under way.
    const rests = this.#state === "resting" && this.#request === request;
    if (delay === 0 && rests) this.#send(now);
  }

  /** Half to all of the round's delay: clients that lost a server together do not come back together. */
  #delay(): number {
    const round = Math.floor(this.#attempt / this.#servers);
    if (round === 0) return 0;
    return backOff(round - 1, this.#options.retryDelay, this.#options.maxRetryDelay, this.#random);
  }
}
