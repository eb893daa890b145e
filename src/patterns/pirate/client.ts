/** The Lazy Pirate client: a REQ socket at a time, around client-rules.ts. */

import { RingBuffer } from "../../core/collections/ring-buffer.js";
import { DriverTimer } from "../../core/driver-timer.js";
import {
  AbortedError,
  ClosedError,
  InvalidStateError,
  type ShoalError,
  TimeoutError,
} from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import type { Codec } from "../../sockets/codec.js";
import { Request, type RequestOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "../kit/body.js";
import { parseErrorReply } from "../kit/errors.js";
import { numbers, serversOf } from "../kit/options.js";
import { ClientRules } from "./client-rules.js";

/** Calls given up that may stay in the queue before it is cleared of them. */
const SLACK = 16;

const DEFAULTS = Object.freeze({
  timeout: 2_500,
  retries: 2,
  retryDelay: 100,
  retryMaxDelay: 5_000,
  maxPending: 10_000,
});

/** Options of {@link PirateClient}. Times are in ms. */
export interface PirateClientOptions<Req = Raw, Rep = Raw> {
  /** ms that one attempt waits for its reply. Default 2,500. */
  readonly timeout?: number;
  /** Further attempts after the first, each at the next server of the list. Default 2. */
  readonly retries?: number;
  /** The wait before a server is asked again; doubled each round, half of it by chance. Default 100. */
  readonly retryDelay?: number;
  /** Where the doubling ends. Default 5,000. */
  readonly retryMaxDelay?: number;
  /** Calls that may wait for their turn; one more rejects with `ERR_TOO_MANY_PENDING`. Default 10,000. */
  readonly maxPending?: number;
  /** Encodes a request, as one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Decodes a reply, of one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
  /** Options of the REQs, such as security. */
  readonly socketOptions?: RequestOptions;
}

/** What one call can say otherwise. */
export interface PirateCallOptions {
  readonly timeout?: number;
  readonly retries?: number;
  /** Gives the request up; a server may have dealt with it. */
  readonly signal?: AbortSignal;
}

/** What happens in a client. */
export type ClientEvent = {
  /** An attempt had no reply. */
  readonly type: "retry";
  readonly endpoint: string;
  /** None came in time, or the connection that it was sent over has ended. */
  readonly reason: "timeout" | "disconnected";
  /** 1 for the first. */
  readonly attempt: number;
  /** ms until the next. */
  readonly delay: number;
};

/** A client's accounts: requests = replies + errors + failed + cancelled + 1 while one is under way. */
export interface ClientStats {
  readonly requests: number;
  readonly replies: number;
  /** Replies that say why there is none, and replies that the codec refuses. */
  readonly errors: number;
  /** Requests that had no reply at any attempt. */
  readonly failed: number;
  readonly cancelled: number;
  readonly retries: number;
  /** Calls that wait for their turn. */
  readonly waiting: number;
}

interface Call {
  readonly frames: Buffer[];
  readonly timeout: number | undefined;
  readonly retries: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | undefined;
  readonly resolve: (reply: never) => void;
  readonly reject: (error: ShoalError) => void;
  /** What the caller holds. */
  promise: Promise<unknown> | undefined;
  settled: boolean;
}

/**
 * Asks one of several servers, and tries again, elsewhere if it can, when no reply
 * comes. Works with any REP, or with a queue of the Pirates.
 *
 * One request is under way at a time; further calls wait their turn. A server may
 * handle a request more than once: that of the attempt before is not called back.
 */
export class PirateClient<Req = Raw, Rep = Raw> {
  /** Attempts that failed. */
  readonly events: EventStream<ClientEvent> = new EventStream<ClientEvent>();
  readonly #endpoints: readonly string[];
  readonly #socketOptions: RequestOptions;
  readonly #requests: BodyShape<Req>;
  readonly #replies: BodyShape<Rep>;
  readonly #maxPending: number;
  readonly #rules: ClientRules;
  readonly #timer: DriverTimer;
  readonly #queue = new RingBuffer<Call>();
  #waiting = 0;
  #call: Call | undefined;
  #socket: Request | undefined;
  #onDisconnect: () => void = ignore;
  /** The endpoint that `#socket` is connected to. */
  #server = 0;
  #closed = false;
  readonly #counts = { requests: 0, replies: 0, errors: 0, failed: 0, cancelled: 0, retries: 0 };

  /**
   * @param endpoints servers, tried in this order; the one that answered last is asked first
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: string | readonly string[], options: PirateClientOptions<Req, Rep> = {}) {
    const { requestCodec, replyCodec, socketOptions, ...given } = options;
    const { maxPending, ...times } = numbers("PirateClient", DEFAULTS, given, { retries: 0, retryDelay: 0 });
    this.#endpoints = serversOf(endpoints);
    this.#socketOptions = { ...socketOptions };
    this.#requests = new BodyShape(requestCodec);
    this.#replies = new BodyShape(replyCodec);
    this.#maxPending = maxPending;
    this.#timer = new DriverTimer(times.timeout);
    this.#rules = new ClientRules(
      { ...times, servers: this.#endpoints.length },
      {
        send: (server) => this.#send(server),
        abandon: () => this.#abandon(),
        failed: (attempts) => this.#failed(attempts),
        retrying: (server, attempt, delay, reason) => {
          this.#counts.retries += 1;
          // No socket holds the process while the client rests.
          this.#timer.hold(true);
          const endpoint = this.#endpoints[server] as string;
          this.events.emit({ type: "retry", endpoint, reason, attempt, delay });
        },
      },
    );
    for (let server = this.#endpoints.length - 1; server >= 0; server--) {
      this.#abandon();
      this.#open(server);
    }
    this.#timer.hold(false);
    this.#timer.start(this.#rules);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Sends a request and gives its reply.
   *
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT` after the last attempt
   * @throws ServiceError `ERR_SERVICE` when a worker's handler failed, or the queue gave up
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` for what a codec refuses, either way
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN` when it closes
   */
  request(body: BodyFor<Req>, options?: PirateCallOptions): Promise<BodyOf<Rep>> {
    let begun: Call | undefined;
    const promise = new Promise<BodyOf<Rep>>((resolve, reject) => {
      if (this.#closed) throw new ClosedError("EBADF", "The client is closed");
      const { timeout, retries, signal } = options ?? {};
      if (options !== undefined) checkCall(options);
      const frames = this.#requests.encode(body);
      if (this.#waiting >= this.#maxPending) {
        throw new InvalidStateError(
          "ERR_TOO_MANY_PENDING",
          `${this.#waiting} requests wait for their turn already (maxPending)`,
        );
      }
      const onAbort = signal === undefined ? undefined : () => this.#cancel(call);
      const call: Call = {
        frames,
        timeout,
        retries,
        signal,
        onAbort,
        resolve,
        reject,
        promise: undefined,
        settled: false,
      };
      begun = call;
      signal?.addEventListener("abort", onAbort as () => void, { once: true });
      if (this.#call === undefined) this.#begin(call);
      else {
        this.#queue.push(call);
        this.#waiting += 1;
      }
    });
    if (begun !== undefined) (begun as Call).promise = promise;
    return promise;
  }

  /** The accounts at this moment. */
  stats(): ClientStats {
    return { ...this.#counts, waiting: this.#waiting };
  }

  /**
   * Gives up what is under way and what waits, with `EAGAIN`, which is never an unhandled rejection. Closing twice is
   * closing once.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const all = this.#call === undefined ? [] : [this.#call];
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) all.push(call);
    this.#call = undefined;
    this.#waiting = 0;
    this.#rules.cancel();
    this.#timer.stop();
    const closing = this.#abandon();
    for (const call of all) {
      call.promise?.catch(ignore);
      if (settle(call)) call.reject(new ClosedError("EAGAIN", "The client closed while the request waited"));
    }
    await closing;
    this.events.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #begin(call: Call): void {
    this.#call = call;
    this.#counts.requests += 1;
    this.#rules.request(this.#timer.now(), call.timeout, call.retries);
    this.#timer.update();
  }

  #next(): void {
    this.#call = undefined;
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) {
      if (call.settled) continue;
      this.#waiting -= 1;
      this.#begin(call);
      return;
    }
  }

  #send(server: number): void {
    this.#timer.hold(false);
    if (this.#socket === undefined || this.#server !== server) this.#open(server);
    const socket = this.#socket as Request;
    const { frames } = this.#call as Call;
    // What cannot leave now waits in the socket until the attempt is over.
    if (!socket.trySend(frames)) socket.send(frames).catch(ignore);
    // Only while it waits: a listener holds the process.
    const onDisconnect = this.#onDisconnect;
    socket.events.on("disconnect", onDisconnect);
    socket.receive(WITHOUT_LIMIT).then(
      (reply) => {
        if (this.#socket !== socket) return;
        socket.events.off("disconnect", onDisconnect);
        this.#reply(reply);
      },
      ignore, // The socket was abandoned.
    );
  }

  #open(server: number): void {
    void this.#abandon();
    const socket = new Request(this.#socketOptions);
    this.#socket = socket;
    this.#server = server;
    this.#onDisconnect = () => {
      const call = this.#call;
      // The event overtakes a reply that came before it.
      setImmediate(() => {
        if (this.#socket !== socket || this.#call !== call || socket.readable) return;
        this.#rules.disconnected(this.#timer.now());
        this.#timer.update();
      });
    };
    socket.connect(this.#endpoints[server] as string);
  }

  #abandon(): Promise<unknown> | undefined {
    const socket = this.#socket;
    this.#socket = undefined;
    return socket?.close({ linger: 0 });
  }

  #reply(frames: Buffer[]): void {
    if (!this.#rules.reply()) return;
    const call = this.#call as Call;
    this.#next();
    if (!settle(call)) return;
    let error = parseErrorReply(frames, this.#endpoints[this.#server] as string) as ShoalError | undefined;
    if (error === undefined) {
      try {
        call.resolve(this.#replies.decode(frames) as never);
        this.#counts.replies += 1;
        return;
      } catch (cause) {
        error = cause as ShoalError;
      }
    }
    this.#counts.errors += 1;
    call.reject(error);
  }

  #failed(attempts: number): void {
    const call = this.#call as Call;
    this.#counts.failed += 1;
    if (settle(call)) {
      const times = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
      call.reject(new TimeoutError("ETIMEDOUT", `No reply came: ${times} at ${this.#endpoints.join(", ")}`));
    }
    this.#next();
  }

  #cancel(call: Call): void {
    if (!settle(call)) return;
    call.reject(new AbortedError(call.signal?.reason));
    if (this.#call !== call) {
      this.#waiting -= 1; // It is passed over when its turn comes.
      if (this.#queue.length > 2 * this.#waiting + SLACK) this.#queue.retain((other) => !other.settled);
      return;
    }
    this.#counts.cancelled += 1;
    this.#rules.cancel();
    this.#timer.hold(false);
    this.#next();
  }
}

const WITHOUT_LIMIT = { timeout: -1 } as const;

/** @returns whether it was not settled before */
function settle(call: Call): boolean {
  if (call.settled) return false;
  call.settled = true;
  if (call.onAbort !== undefined) call.signal?.removeEventListener("abort", call.onAbort);
  return true;
}

function checkCall({ timeout, retries, signal }: PirateCallOptions): void {
  numbers("request", { timeout: 1, retries: 0 }, { timeout, retries }, { retries: 0 });
  if (signal?.aborted === true) throw new AbortedError(signal.reason);
}

function ignore(): void {}
