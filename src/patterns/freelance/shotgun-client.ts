/**
 * The client of model 2: asks all its servers at once and takes the first reply.
 *
 *   DEALER for each server:  "" | sequence | body…  ->   "" | sequence | reply…
 *
 * The quickest to fail over, since it never has to; each request is handled by
 * every server. A server that is not connected yet gets the requests that still
 * wait when it comes.
 */
import { AbortedError, ClosedError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { Calls } from "../../sockets/calls.js";
import type { Codec } from "../../sockets/codec.js";
import type { MessageLike } from "../../sockets/message.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { BodyIn, BodyOut, Raw } from "../../sockets/shape.js";
import { ServiceError } from "../kit/errors.js";
import { checkCount, checkKeys, checkServers } from "../kit/options.js";
import { decodeBody, encodeBody } from "./body.js";
import { errorTextOf, parseSequence } from "./protocol.js";

/** ms until a request is given up. */
const TIMEOUT = 3_000;
/** Requests without a reply at once; one more is refused. */
const MAX_PENDING = 1_000;

/** How a client of model 2 runs. */
export interface FreelanceShotgunClientOptions<T = Raw> {
  readonly endpoints: readonly string[];
  /** ms of a request. Default 3,000. */
  readonly timeout?: number;
  /** Requests without a reply at once. Default 1,000. */
  readonly maxPending?: number;
  /** What encodes and decodes bodies, of one frame then. Default: frames as they are. */
  readonly codec?: Codec<T>;
  /** For its sockets, security above all. */
  readonly socketOptions?: DealerOptions;
}

/** Counts since the client was made. */
export interface FreelanceShotgunClientStats {
  readonly requests: number;
  readonly replies: number;
  /** Replies after the first, and after the request was given up. */
  readonly late: number;
  /** Messages that are no reply. */
  readonly invalid: number;
  readonly pending: number;
}

interface Call<T> {
  readonly message: MessageLike[];
  /** Servers that told of a failed handler. */
  readonly failed: Set<Dealer>;
  /** Servers that have it, on a connection that stands. */
  readonly sent: Set<Dealer>;
  readonly resolve: (reply: BodyIn<T>) => void;
  readonly reject: (error: Error) => void;
}

export class FreelanceShotgunClient<T = Raw> {
  /** What callers wait for. */
  readonly #open = new Calls();
  readonly #dealers: Dealer[];
  readonly #codec: Codec<T> | undefined;
  readonly #timeout: number;
  readonly #maxPending: number;
  readonly #calls = new Map<number, Call<T>>();
  readonly #counts = { requests: 0, replies: 0, late: 0, invalid: 0 };
  readonly #reading: Promise<void>[];
  #sequence = 0;
  #closed = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: FreelanceShotgunClientOptions<T>) {
    const { endpoints, socketOptions } = options;
    checkKeys("FreelanceShotgunClient", options, [
      "endpoints",
      "timeout",
      "maxPending",
      "codec",
      "socketOptions",
    ]);
    checkServers("endpoints", endpoints);
    this.#timeout = checkCount("timeout", options.timeout ?? TIMEOUT, 1);
    this.#maxPending = checkCount("maxPending", options.maxPending ?? MAX_PENDING, 1);
    this.#codec = options.codec;
    this.#dealers = endpoints.map((endpoint) => {
      const dealer = new Dealer({ linger: 0, ...socketOptions, immediate: true });
      dealer.events.on("peer:join", () => {
        for (const call of this.#calls.values()) shoot(dealer, call);
      });
      dealer.events.on("peer:leave", () => {
        for (const { sent } of this.#calls.values()) sent.delete(dealer);
      });
      dealer.connect(endpoint);
      return dealer;
    });
    this.#reading = this.#dealers.map((dealer) => this.#read(dealer));
  }

  /**
   * Asks all servers, and gives the first reply. Calls run at the same time.
   *
   * @throws TimeoutError `ETIMEDOUT`; ServiceError `ERR_SERVICE`: the handlers of all servers failed;
   *   AbortedError `ABORT_ERR`; InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`, `EAGAIN` when it closes
   */
  request(
    body: BodyOut<T>,
    options: { readonly signal?: AbortSignal; readonly timeout?: number } = {},
  ): Promise<BodyIn<T>> {
    return this.#open.run(() => this.#request(body, options));
  }

  #request(
    body: BodyOut<T>,
    options: { readonly signal?: AbortSignal; readonly timeout?: number },
  ): Promise<BodyIn<T>> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new ClosedError("EBADF", "The client is closed");
      const { signal } = options;
      if (signal?.aborted === true) throw new AbortedError(signal.reason);
      const timeout = checkCount("timeout", options.timeout ?? this.#timeout, 1);
      if (this.#calls.size >= this.#maxPending)
        throw new InvalidStateError("ERR_TOO_MANY_PENDING", `${this.#maxPending} requests wait for replies`);
      const sequence = ++this.#sequence;
      const message: MessageLike[] = [null, String(sequence), ...encodeBody(this.#codec, body)];
      const onAbort = (): void => this.#end(sequence)?.reject(new AbortedError(signal?.reason));
      const timer = setTimeout(() => {
        this.#end(sequence)?.reject(new TimeoutError("ETIMEDOUT", `No server replied within ${timeout} ms`));
      }, timeout);
      const over = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      const call: Call<T> = {
        message,
        failed: new Set(),
        sent: new Set(),
        resolve: (reply) => {
          over();
          resolve(reply);
        },
        reject: (error) => {
          over();
          reject(error);
        },
      };
      this.#calls.set(sequence, call);
      this.#counts.requests += 1;
      for (const dealer of this.#dealers) shoot(dealer, call);
    });
  }

  stats(): FreelanceShotgunClientStats {
    return { ...this.#counts, pending: this.#calls.size };
  }

  /** Gives up what is asked, with `EAGAIN`, which is never an unhandled rejection. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#open.abandon();
    for (const sequence of [...this.#calls.keys()])
      this.#end(sequence)?.reject(new ClosedError("EAGAIN", "The client closed"));
    for (const dealer of this.#dealers) dealer.events.close(); // Nobody listens to what its closing brings.
    await Promise.all(this.#dealers.map((dealer) => dealer.close({ linger: 0 })));
    await Promise.all(this.#reading);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read(dealer: Dealer): Promise<void> {
    for await (const [delimiter, sequence, ...body] of dealer) {
      const number = sequence === undefined ? undefined : parseSequence(sequence);
      if (delimiter?.length !== 0 || number === undefined || body.length === 0) this.#counts.invalid += 1;
      else this.#reply(dealer, number, body);
    }
  }

  #reply(dealer: Dealer, sequence: number, body: Buffer[]): void {
    const call = this.#calls.get(sequence);
    if (call === undefined) {
      this.#counts.late += 1;
      return;
    }
    if (errorTextOf(2, body) !== undefined) {
      call.failed.add(dealer);
      if (call.failed.size < this.#dealers.length) return; // Another may do better.
      this.#end(sequence)?.reject(
        new ServiceError("worker-failed", "freelance", "every server's handler failed"),
      );
      return;
    }
    this.#end(sequence);
    this.#counts.replies += 1;
    try {
      call.resolve(decodeBody(this.#codec, body));
    } catch (error) {
      call.reject(error as Error);
    }
  }

  #end(sequence: number): Call<T> | undefined {
    const call = this.#calls.get(sequence);
    this.#calls.delete(sequence);
    return call;
  }
}

/** Each server gets a request once for each connection. */
function shoot(
  dealer: Dealer,
  { message, sent }: { readonly message: MessageLike[]; readonly sent: Set<Dealer> },
): void {
  if (!sent.has(dealer) && dealer.trySend(message)) sent.add(dealer);
}
