/**
 * A client of a pair: asks one server until that one fails it, then the other.
 *
 *   asks ──> no reply within `timeout`, or the connection is lost ──> new socket, other server ──> asks again
 *
 * After a failed attempt the socket is
 * thrown away with the request in it, so that no server ever gets a stale one.
 * A lost or refused connection ends an attempt at once; a server that stands by
 * is silent, and its attempt takes `timeout`, in which it may become active.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AbortedError, ClosedError, InvalidArgumentError, TimeoutError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import { Mutex } from "../../core/mutex.js";
import { Calls } from "../../sockets/calls.js";
import { Request, type RequestOptions } from "../../sockets/request-reply.js";
import type { BodyIn, BodyOut, Raw } from "../../sockets/shape.js";
import { checkCount, checkEndpoint, checkKeys } from "../kit/options.js";

/** ms until a request without a reply is tried at the other server, as the Guide has it. */
const TIMEOUT = 1_000;
/** ms until a request is given up. */
const DEADLINE = 30_000;
/** ms between two attempts that failed at once: a refused connection must not become a busy loop. */
const PAUSE = 50;

/** How a client of a pair runs. */
export interface BinaryStarClientOptions<T = Raw> {
  /** Where clients connect to the primary, and to the backup. */
  readonly endpoints: readonly [primary: string, backup: string];
  /** ms of one attempt. Default 1,000. */
  readonly timeout?: number;
  /** ms of all attempts together. Default 30,000. */
  readonly deadline?: number;
  /** For its sockets, their codec and security. */
  readonly socketOptions?: RequestOptions<T>;
}

/** What `request` takes. */
export interface StarCallOptions {
  readonly signal?: AbortSignal;
  /** ms of all attempts together. */
  readonly deadline?: number;
}

/** What happens to a client of a pair. */
export interface StarFailOverEvent {
  readonly type: "fail-over";
  /** The server that failed the client, and the one that it asks now. */
  readonly from: string;
  readonly to: string;
  readonly reason: "timeout" | "disconnected";
}

/** Counts since the client was made. */
export interface BinaryStarClientStats {
  readonly requests: number;
  readonly replies: number;
  readonly attempts: number;
  readonly failOvers: number;
}

export class BinaryStarClient<T = Raw> {
  readonly events: EventStream<StarFailOverEvent> = new EventStream();
  readonly #options: BinaryStarClientOptions<T>;
  readonly #calls = new Calls();
  readonly #turns = new Mutex();
  readonly #closing = new AbortController();
  readonly #timeout: number;
  readonly #deadline: number;
  #current = 0;
  #socket: Request<T> | undefined;
  #requests = 0;
  #replies = 0;
  #attempts = 0;
  #failOvers = 0;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BinaryStarClientOptions<T>) {
    checkKeys("BinaryStarClient", options, ["endpoints", "timeout", "deadline", "socketOptions"]);
    if (!Array.isArray(options.endpoints) || options.endpoints.length !== 2)
      throw new InvalidArgumentError("Option endpoints has the primary's and the backup's");
    for (const endpoint of options.endpoints) checkEndpoint("endpoints", endpoint);
    this.#options = options;
    this.#timeout = checkCount("timeout", options.timeout ?? TIMEOUT, 1);
    this.#deadline = checkCount("deadline", options.deadline ?? DEADLINE, 1);
  }

  /** The server that is asked first. */
  get endpoint(): string {
    return this.#options.endpoints[this.#current] as string;
  }

  /**
   * Sends a request to the server that answered last, and to the other when that
   * one fails. A server that was asked in vain may have had the request's effect:
   * it is handled at least once. Calls made meanwhile wait their turn.
   *
   * @returns the reply's frames, or with a codec the value as the only element
   * @throws TimeoutError `ETIMEDOUT` after `deadline` ms; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN` when it closes
   */
  request(body: BodyOut<T>, options: StarCallOptions = {}): Promise<BodyIn<T>> {
    return this.#calls.run(() => this.#request(body, options));
  }

  async #request(body: BodyOut<T>, { deadline, signal }: StarCallOptions): Promise<BodyIn<T>> {
    const ms = checkCount("deadline", deadline ?? this.#deadline, 1);
    this.#assertOpen(signal);
    const end = performance.now() + ms;
    const done = await this.#turns.take(signal);
    this.#requests += 1;
    try {
      for (;;) {
        this.#assertWaiting(signal);
        const left = Math.ceil(end - performance.now());
        if (left <= 0)
          throw new TimeoutError("ETIMEDOUT", `Neither server of the pair replied within ${ms} ms`);
        const reply = await this.#attempt(body, Math.min(this.#timeout, left), signal);
        if (reply === undefined) continue;
        this.#replies += 1;
        return reply;
      }
    } finally {
      done();
    }
  }

  stats(): BinaryStarClientStats {
    return {
      requests: this.#requests,
      replies: this.#replies,
      attempts: this.#attempts,
      failOvers: this.#failOvers,
    };
  }

  /** Gives up what is asked, with `EAGAIN`. */
  async close(): Promise<void> {
    this.#calls.abandon();
    this.#closing.abort();
    await this.#drop();
    this.events.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @returns the reply, or `undefined` after turning to the other server */
  async #attempt(
    body: BodyOut<T>,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<BodyIn<T> | undefined> {
    this.#attempts += 1;
    const started = performance.now();
    const lost = new AbortController();
    const socket = this.#open();
    const onLost = (): void => lost.abort();
    socket.events.on("disconnect", onLost);
    socket.events.on("connect:retry", onLost);
    const signals = [lost.signal, this.#closing.signal];
    if (signal !== undefined) signals.push(signal);
    try {
      return await socket.request(body, { timeout, signal: AbortSignal.any(signals) });
    } catch (error) {
      const { code } = error as { code?: string };
      await this.#drop();
      this.#assertWaiting(signal);
      if (code !== "ETIMEDOUT" && !lost.signal.aborted) throw error;
      this.#failOver(lost.signal.aborted ? "disconnected" : "timeout");
      const wait = PAUSE - (performance.now() - started);
      if (wait > 0) await sleep(Math.min(wait, timeout), undefined, { ref: true });
      return undefined;
    } finally {
      if (!socket.closed) socket.events.off("disconnect", onLost).off("connect:retry", onLost);
    }
  }

  #open(): Request<T> {
    if (this.#socket === undefined) {
      this.#socket = new Request<T>({ linger: 0, ...this.#options.socketOptions } as RequestOptions<T>);
      this.#socket.connect(this.endpoint);
    }
    return this.#socket;
  }

  async #drop(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.events.close(); // Nobody listens to what its closing brings.
    await socket?.close({ linger: 0 });
  }

  #failOver(reason: "timeout" | "disconnected"): void {
    const from = this.endpoint;
    this.#current = 1 - this.#current;
    this.#failOvers += 1;
    this.events.emit({ type: "fail-over", from, to: this.endpoint, reason });
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
