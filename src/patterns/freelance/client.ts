/**
 * The client of model 3 (10/FLP): one ROUTER, connected to all servers, each
 * known by its endpoint. Asks the fastest, and another when that one fails.
 */
import { type Clock, systemClock } from "../../core/clock.js";
import { DriverTimer } from "../../core/driver-timer.js";
import {
  AbortedError,
  ClosedError,
  InvalidArgumentError,
  InvalidStateError,
  type ShoalError,
  TimeoutError,
} from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import { Calls } from "../../sockets/calls.js";
import type { Codec } from "../../sockets/codec.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { BodyIn, BodyOut, Raw } from "../../sockets/shape.js";
import { ServiceError } from "../kit/errors.js";
import { checkCount, checkEndpoint, checkKeys } from "../kit/options.js";
import { decodeBody, encodeBody } from "./body.js";
import {
  type FreelanceFailure,
  FreelanceRules,
  type FreelanceRulesStats,
  type FreelanceServerStatus,
} from "./client-rules.js";
import { parseClientMessage } from "./protocol.js";

/** ms from one PING to the next, as the Guide has it. */
const PING_INTERVAL = 2_000;
/** ms of silence until a server counts as dead, as the Guide has it. */
const TIME_TO_LIVE = 6_000;
/** ms until a request is given up, as the Guide has it. */
const TIMEOUT = 3_000;
/** ms without a reply until another server is asked. */
const ATTEMPT_TIMEOUT = 1_000;
/** Requests without a reply at once; one more is refused. */
const MAX_PENDING = 10_000;

/** How a client of model 3 runs. */
export interface FreelanceClientOptions<T = Raw> {
  /** Its servers, each exactly as the server's Identity says it. More by `connect`. */
  readonly endpoints?: readonly string[];
  /** ms of a request, all attempts together. Default 3,000. */
  readonly timeout?: number;
  /** ms without a reply until another server is asked. Default 1,000. */
  readonly attemptTimeout?: number;
  /** ms between two PINGs to a server. Default 2,000. */
  readonly pingInterval?: number;
  /** ms of a server's silence until it counts as dead. Default 6,000. */
  readonly timeToLive?: number;
  /** Requests without a reply at once. Default 10,000. */
  readonly maxPending?: number;
  /** What encodes and decodes bodies, of one frame then. Default: frames as they are. */
  readonly codec?: Codec<T>;
  /** For its socket, security above all. */
  readonly socketOptions?: RouterOptions;
  /** Where time comes from; for tests. */
  readonly clock?: Clock;
}

/** What `request` takes. */
export interface FreelanceCallOptions {
  readonly signal?: AbortSignal;
  /** ms of this request. */
  readonly timeout?: number;
}

/** What happens to a client of model 3. */
export type FreelanceClientEvent =
  | { readonly type: "alive"; readonly server: string }
  | { readonly type: "dead"; readonly server: string; readonly why: "silent" | "disconnected" }
  /** A request goes to another server than before. */
  | { readonly type: "fail-over"; readonly from: string; readonly why: "timeout" | "dead" }
  /** Who answers at an endpoint does not have it as its Identity, so nothing can be sent to it; where the engine tells a peer's routing id. */
  | { readonly type: "unknown-server"; readonly address: string; readonly routingId: Buffer | undefined }
  /** A message that no server may send; dropped. */
  | { readonly type: "invalid"; readonly server: string; readonly frames: number };

/** Counts since the client was made. */
export interface FreelanceClientStats extends FreelanceRulesStats {
  readonly invalid: number;
}

interface Call<T> {
  resolve(reply: BodyIn<T>): void;
  reject(error: Error): void;
}

const KEYS = [
  "endpoints",
  "timeout",
  "attemptTimeout",
  "pingInterval",
  "timeToLive",
  "maxPending",
  "codec",
  "socketOptions",
  "clock",
] as const;

export class FreelanceClient<T = Raw> {
  readonly events: EventStream<FreelanceClientEvent> = new EventStream();
  /** What callers wait for. */
  readonly #open = new Calls();
  readonly #codec: Codec<T> | undefined;
  readonly #router: Router;
  readonly #rules: FreelanceRules;
  readonly #timer: DriverTimer;
  readonly #timeout: number;
  readonly #maxPending: number;
  readonly #calls = new Map<number, Call<T>>();
  readonly #endpoints = new Set<string>();
  readonly #reading: Promise<void>;
  #invalid = 0;
  #closed = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: FreelanceClientOptions<T> = {}) {
    checkKeys("FreelanceClient", options, KEYS);
    const pingInterval = checkCount("pingInterval", options.pingInterval ?? PING_INTERVAL, 1);
    const timeToLive = checkCount("timeToLive", options.timeToLive ?? TIME_TO_LIVE, 1);
    if (timeToLive <= pingInterval)
      throw new InvalidArgumentError(
        "Option timeToLive is longer than pingInterval, or every server dies between PINGs",
      );
    const attemptTimeout = checkCount("attemptTimeout", options.attemptTimeout ?? ATTEMPT_TIMEOUT, 1);
    this.#timeout = checkCount("timeout", options.timeout ?? TIMEOUT, 1);
    this.#maxPending = checkCount("maxPending", options.maxPending ?? MAX_PENDING, 1);
    this.#codec = options.codec;
    this.#timer = new DriverTimer(pingInterval, options.clock ?? systemClock);
    // Nothing is queued for a server that is away: it would get old requests when it comes back.
    this.#router = new Router({ linger: 0, ...options.socketOptions, immediate: true, mandatory: true });
    this.#rules = new FreelanceRules({ pingInterval, timeToLive, attemptTimeout }, this.#outbox());
    this.#router.events.on("peer:join", ({ address, routingId }) => this.#joined(address, routingId));
    this.#router.events.on("peer:leave", ({ address, routingId }) => {
      this.#rules.left(this.#nameOf(address, routingId), this.#timer.now());
      this.#timer.update();
    });
    this.#reading = this.#read();
    this.#timer.start(this.#rules);
    for (const endpoint of options.endpoints ?? []) this.connect(endpoint);
  }

  /** Adds a server. Returns at once; it is asked once it has answered a PING. */
  connect(endpoint: string): void {
    this.#assertOpen();
    checkEndpoint("endpoint", endpoint);
    if (this.#endpoints.has(endpoint)) return;
    this.#router.connect(endpoint);
    this.#endpoints.add(endpoint);
    this.#rules.addServer(endpoint, this.#timer.now());
    this.#timer.update();
  }

  /** Takes a server away; what it was asked goes to another. */
  disconnect(endpoint: string): void {
    this.#assertOpen();
    if (!this.#endpoints.delete(endpoint)) return;
    this.#router.disconnect(endpoint);
    this.#rules.removeServer(endpoint, this.#timer.now());
    this.#timer.update();
  }

  /**
   * Asks the fastest live server, and the next one when it fails. Calls run at the
   * same time. A request that was asked twice may be handled twice.
   *
   * @returns the reply's frames, or with a codec the value as the only element
   * @throws TimeoutError `ETIMEDOUT`; ServiceError `ERR_SERVICE`: the server's handler failed; AbortedError `ABORT_ERR`
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` past `maxPending`; ClosedError `EBADF`, `EAGAIN` when it closes
   * @throws InvalidArgumentError, InvalidMessageError for a body that has no form on the wire, or a reply that the codec refuses
   */
  request(body: BodyOut<T>, options: FreelanceCallOptions = {}): Promise<BodyIn<T>> {
    return this.#open.run(() => this.#request(body, options));
  }

  #request(body: BodyOut<T>, options: FreelanceCallOptions): Promise<BodyIn<T>> {
    return new Promise((resolve, reject) => {
      this.#assertOpen();
      const { signal } = options;
      const timeout = checkCount("timeout", options.timeout ?? this.#timeout, 1);
      if (signal?.aborted === true) throw new AbortedError(signal.reason);
      if (this.#calls.size >= this.#maxPending)
        throw new InvalidStateError("ERR_TOO_MANY_PENDING", `${this.#maxPending} requests wait for replies`);
      const frames = encodeBody(this.#codec, body);
      const onAbort = (): void => {
        this.#rules.cancel(sequence);
        this.#calls.delete(sequence);
        reject(new AbortedError(signal?.reason));
      };
      const done = (): void => signal?.removeEventListener("abort", onAbort);
      const sequence = this.#rules.request(frames, timeout, this.#timer.now());
      this.#calls.set(sequence, {
        resolve(reply) {
          done();
          resolve(reply);
        },
        reject(error) {
          done();
          reject(error);
        },
      });
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#timer.update();
    });
  }

  /** Its servers, as it sees them at this moment. */
  servers(): FreelanceServerStatus[] {
    return this.#rules.servers();
  }

  stats(): FreelanceClientStats {
    return { ...this.#rules.stats(), invalid: this.#invalid };
  }

  /** Gives up what is asked, with `EAGAIN`, which is never an unhandled rejection. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#open.abandon();
    this.#timer.stop();
    for (const call of [...this.#calls.values()]) call.reject(new ClosedError("EAGAIN", "The client closed"));
    this.#calls.clear();
    this.#router.events.close(); // Nobody listens to what its closing brings.
    await this.#router.close({ linger: 0 });
    await this.#reading;
    this.events.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError("EBADF", "The client is closed");
  }

  async #read(): Promise<void> {
    for await (const [id, ...frames] of this.#router) {
      const server = (id as Buffer).toString();
      const command = parseClientMessage(frames);
      if (command === undefined || !this.#rules.receive(server, command, this.#timer.now())) {
        this.#invalid += 1;
        this.events.emit({ type: "invalid", server, frames: frames.length });
      }
      this.#timer.update();
    }
  }

  #joined(address: string, routingId: Buffer | undefined): void {
    const name = this.#nameOf(address, routingId);
    if (routingId !== undefined && !this.#endpoints.has(name))
      this.events.emit({ type: "unknown-server", address, routingId });
    this.#rules.joined(routingId === undefined ? undefined : name, this.#timer.now());
    this.#timer.update();
  }

  /** Engines that do not know a peer's routing id tell where it was dialled, which is the same here. */
  #nameOf(address: string, routingId: Buffer | undefined): string {
    return routingId?.toString() ?? address;
  }

  #take(sequence: number): Call<T> | undefined {
    const call = this.#calls.get(sequence);
    this.#calls.delete(sequence);
    return call;
  }

  #outbox(): ConstructorParameters<typeof FreelanceRules>[1] {
    return {
      send: (server, frames) => {
        try {
          return this.#router.trySend([server, ...frames]);
        } catch (error) {
          const { code } = error as ShoalError;
          if (code === "EHOSTUNREACH" || code === "EAGAIN" || code === "EBADF") return false;
          throw error;
        }
      },
      replied: (sequence, _server, body) => {
        const call = this.#take(sequence);
        try {
          call?.resolve(decodeBody(this.#codec, body));
        } catch (error) {
          call?.reject(error as Error);
        }
      },
      failed: (sequence, server, why, text) => this.#take(sequence)?.reject(failureOf(why, server, text)),
      alive: (server) => this.events.emit({ type: "alive", server }),
      dead: (server, why) => this.events.emit({ type: "dead", server, why }),
      failedOver: (_sequence, from, why) => this.events.emit({ type: "fail-over", from, why }),
    };
  }
}

function failureOf(why: FreelanceFailure, server: string | undefined, text: string): Error {
  if (why === "timeout")
    return new TimeoutError("ETIMEDOUT", `The request ended: ${text}`, { endpoint: server });
  return new ServiceError("worker-failed", server ?? "freelance", text);
}
