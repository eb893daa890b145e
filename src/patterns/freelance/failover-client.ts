/**
 * The client of model 1: asks one server after the other until one replies.
 *
 *   for each round, for each server from the last good one on:
 *     new REQ socket ── request ──> no reply in time, or no connection: throw the socket away, next server
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AbortedError, ClosedError, TimeoutError } from "../../core/errors.js";
import { Mutex } from "../../core/mutex.js";
import { Calls } from "../../sockets/calls.js";
import { Request, type RequestOptions } from "../../sockets/request-reply.js";
import type { BodyIn, BodyOut, Raw } from "../../sockets/shape.js";
import { ServiceError } from "../kit/errors.js";
import { checkCount, checkKeys, checkServers } from "../kit/options.js";
import { errorTextOf } from "./protocol.js";

/** ms that one server has for its reply, as the Guide has it. */
const TIMEOUT = 1_000;
/** Times that all servers are tried, as the Guide tries a single one. */
const ROUNDS = 3;
/** ms between two attempts that failed at once: a refused connection must not become a busy loop. */
const PAUSE = 50;

/** How a client of model 1 runs. */
export interface FreelanceFailoverClientOptions<T = Raw> {
  readonly endpoints: readonly string[];
  /** ms that one server has for its reply. Default 1,000. */
  readonly timeout?: number;
  /** Times that all servers are tried. Default 3. */
  readonly rounds?: number;
  /** For its sockets, their codec and security. */
  readonly socketOptions?: RequestOptions<T>;
}

export class FreelanceFailoverClient<T = Raw> {
  readonly #options: FreelanceFailoverClientOptions<T>;
  readonly #timeout: number;
  readonly #rounds: number;
  readonly #calls = new Calls();
  readonly #turns = new Mutex();
  readonly #closing = new AbortController();
  readonly #counts = { requests: 0, replies: 0, attempts: 0 };
  /** The server that replied last. */
  #current = 0;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: FreelanceFailoverClientOptions<T>) {
    checkKeys("FreelanceFailoverClient", options, ["endpoints", "timeout", "rounds", "socketOptions"]);
    checkServers("endpoints", options.endpoints);
    this.#options = options;
    this.#timeout = checkCount("timeout", options.timeout ?? TIMEOUT, 1);
    this.#rounds = checkCount("rounds", options.rounds ?? ROUNDS, 1);
  }

  /**
   * Sends a request to one server after the other until one replies: it is handled
   * at least once, or an error. Calls made meanwhile wait their turn.
   *
   * @throws TimeoutError `ETIMEDOUT` after the last round; ServiceError `ERR_SERVICE`: the server's handler failed;
   *   AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN` when it closes
   */
  request(body: BodyOut<T>, options: { readonly signal?: AbortSignal } = {}): Promise<BodyIn<T>> {
    return this.#calls.run(() => this.#request(body, options.signal));
  }

  async #request(body: BodyOut<T>, signal: AbortSignal | undefined): Promise<BodyIn<T>> {
    this.#assertOpen(signal);
    const { endpoints } = this.#options;
    const done = await this.#turns.take(signal);
    this.#counts.requests += 1;
    try {
      for (let left = this.#rounds * endpoints.length; left > 0; left--) {
        const endpoint = endpoints[this.#current] as string;
        const reply = await this.#attempt(endpoint, body, signal);
        if (reply !== undefined) {
          this.#counts.replies += 1;
          return this.#checked(endpoint, reply);
        }
        this.#current = (this.#current + 1) % endpoints.length;
      }
      throw new TimeoutError(
        "ETIMEDOUT",
        `None of ${endpoints.length} servers replied within ${this.#timeout} ms, in ${this.#rounds} rounds`,
      );
    } finally {
      done();
    }
  }

  stats(): { readonly requests: number; readonly replies: number; readonly attempts: number } {
    return { ...this.#counts };
  }

  /** Gives up what is asked, with `EAGAIN`. */
  async close(): Promise<void> {
    this.#calls.abandon();
    this.#closing.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @returns `undefined` when this server does not reply */
  async #attempt(
    endpoint: string,
    body: BodyOut<T>,
    signal: AbortSignal | undefined,
  ): Promise<BodyIn<T> | undefined> {
    this.#counts.attempts += 1;
    const started = performance.now();
    const lost = new AbortController();
    const socket = new Request<T>({ linger: 0, ...this.#options.socketOptions } as RequestOptions<T>);
    const signals = [lost.signal, this.#closing.signal];
    if (signal !== undefined) signals.push(signal);
    try {
      socket.events.on("disconnect", () => lost.abort());
      socket.events.on("connect:retry", () => lost.abort());
      socket.connect(endpoint);
      return await socket.request(body, { timeout: this.#timeout, signal: AbortSignal.any(signals) });
    } catch (error) {
      this.#assertWaiting(signal);
      if ((error as { code?: string }).code !== "ETIMEDOUT" && !lost.signal.aborted) throw error;
    } finally {
      socket.events.close(); // Nobody listens to what its closing brings.
      await socket.close({ linger: 0 });
    }
    const wait = PAUSE - (performance.now() - started);
    if (wait > 0) await sleep(wait);
    return undefined;
  }

  #checked(endpoint: string, reply: BodyIn<T>): BodyIn<T> {
    const text =
      this.#options.socketOptions?.codec === undefined ? errorTextOf(1, reply as Buffer[]) : undefined;
    if (text !== undefined) throw new ServiceError("worker-failed", endpoint, text);
    return reply;
  }

  #assertWaiting(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted)
      throw new ClosedError("EAGAIN", "The client closed while the request waited");
    if (signal?.aborted === true) throw new AbortedError(signal.reason);
  }

  #assertOpen(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new ClosedError("EBADF", "The client is closed");
    if (signal?.aborted === true) throw new AbortedError(signal.reason);
  }
}
