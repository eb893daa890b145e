/** Client of model 3 (10/FLP): one ROUTER connected to all servers, each identified by its endpoint. */

import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { costOf } from "../../core/memory.js";
import { DriverTimer } from "../../core/timers.js";
import { type BodyFor, type BodyOf, BodyShape } from "../../kit/body.js";
import {
  CALL_LIMITS,
  CALL_OPTIONS,
  type CallOptions,
  type PendingCall,
  PendingCalls,
} from "../../kit/calls.js";
import { Driver, type PatternWaitOptions } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, EndpointList, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { lateError, ServiceError } from "../../kit/errors.js";
import { checkOptions, codec, type GivenWithCodec, integer, object } from "../../kit/options.js";
import { lastFailure } from "../../sockets/internal.js";
import type { Raw } from "../../sockets/message.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { FREELANCE_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { FreelanceRules, type FreelanceServerStatus, SERVER_EVENTS } from "./client-rules.js";
import { parseClientMessage } from "./protocol.js";

const EVENTS = {
  ...SERVER_EVENTS,
  /** The peer's Identity differs from its endpoint. Only if the engine reports routing ids. */
  "peer:invalid": event<{ readonly address: string; readonly routingId: Buffer | undefined }>(),
  /** A message that servers may not send. */
  "message:invalid": event<{ readonly server: string; readonly frames: number }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type FreelanceClientEvent = EventsOf<typeof EVENTS>;

export type FreelanceClientStats = StatisticsOf<typeof FREELANCE_CLIENT>;

const OPTIONS = {
  /** ms of a request with all attempts. Default 3,000, as in the Guide. */
  timeout: integer({ default: 3_000 }),
  /** ms without a reply before another server is tried. Default 1,000. */
  attemptTimeout: integer({ default: 1_000 }),
  /** ms between PINGs to a server. Default 2,000, as in the Guide. */
  pingInterval: integer({ default: 2_000 }),
  /** ms of silence before a server counts as dead. Default 6,000, as in the Guide. */
  timeToLive: integer({ default: 6_000 }),
  ...CALL_LIMITS,
  codec: codec(),
  /** Options of the socket, such as security. */
  socketOptions: object<RouterOptions>(["codec"]),
};

export type FreelanceClientOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

const NEVER = 2 ** 50;

/**
 * Asks the fastest of its servers, and another when it fails (10/FLP, model 3). Requests run concurrently; one may be
 * handled more than once.
 *
 * @example
 * ```ts
 * import { FreelanceClient, FreelanceServer } from "shoal/freelance";
 *
 * const server = new FreelanceServer(([n]) => String(Number(n) + 1));
 * const client = new FreelanceClient([await server.bind("tcp://127.0.0.1:*")]);
 * console.log(String(await client.request("41"))); // 42
 * await client.close();
 * await server.close();
 * ```
 */
export class FreelanceClient<T = Raw> extends Driver<FreelanceClientEvent, FreelanceClientStats> {
  readonly #shape: BodyShape<T>;
  readonly #router: Router;
  readonly #rules: FreelanceRules<PendingCall<BodyOf<T>>>;
  readonly #timer: DriverTimer;
  readonly #pending: PendingCalls;
  readonly #timeout: number;
  readonly #list: EndpointList;
  #invalid = 0;

  /**
   * @param endpoints of the servers, each exactly as in its Identity; or a source: requests at a removed server go to
   *   another
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: FreelanceClientOptions<T> = {}) {
    super("FreelanceClient", EVENTS);
    const settings = checkOptions("FreelanceClient", OPTIONS, options);
    const { pingInterval, timeToLive } = settings;
    if (timeToLive <= pingInterval)
      throw new InvalidArgumentError(
        `Option timeToLive must be above pingInterval, or every server dies between PINGs; got ${timeToLive}`,
      );
    this.#list = new EndpointList("FreelanceClient", endpoints, {
      socket: () => new Router(settings.socketOptions),
    });
    this.#timeout = settings.timeout;
    this.#pending = new PendingCalls(settings);
    this.#shape = new BodyShape(options.codec);
    this.#timer = new DriverTimer(pingInterval);
    // A disconnected server would get outdated requests on its return.
    this.#router = new Router({
      linger: 0,
      ...settings.socketOptions,
      immediate: true,
      mandatory: true,
      receiveTimeout: -1,
    });
    this.#rules = new FreelanceRules(settings, {
      send: (server, frames) => {
        try {
          return this.#router.tryDeliver([server, ...frames]);
        } catch (error) {
          // The request exceeds the context's byte limit. The rules are in the middle of it.
          queueMicrotask(() => this.#rules.cancel(Number(frames[0]))?.reject(error as ShoalError));
          return "sent";
        }
      },
      replied: (call, _server, body) => {
        try {
          call.resolve(this.#shape.decode(body));
        } catch (error) {
          call.reject(error as ShoalError);
        }
      },
      failed: (call, server, text) => call.reject(new ServiceError("worker-failed", server, text)),
      timedOut: (call) => {
        const text = "The request ended: no server replied in time";
        call.reject(lateError(text, this.#rules.endpoints, lastFailure(this.#router)));
      },
      event: (event) => this.events.emit(event),
    });
    this.#router.events.on("peer:join", ({ address, routingId }) => this.#joined(address, routingId));
    this.#router.events.on("peer:leave", ({ address, routingId }) =>
      this.#timer.run((now) => this.#rules.left(this.#nameOf(address, routingId), now)),
    );
    void this.#read();
    this.#timer.start(this.#rules);
    try {
      for (const endpoint of new Set(this.#list.current)) this.#connect(endpoint);
    } catch (error) {
      void this.close();
      throw error;
    }
    this.#list.start((list) => this.#follow(list), this.events);
  }

  #follow(list: readonly string[]): void {
    if (this.closed) return;
    for (const endpoint of list)
      if (!this.#rules.endpoints.includes(endpoint))
        this.#list.connect(endpoint, () => this.#connect(endpoint));
    for (const endpoint of this.#rules.endpoints) {
      if (list.includes(endpoint)) continue;
      this.#router.disconnect(endpoint);
      this.#timer.run((now) => this.#rules.removeServer(endpoint, now));
    }
  }

  #connect(endpoint: string): void {
    this.#router.connect(endpoint);
    this.#timer.run((now) => this.#rules.addServer(endpoint, now));
  }

  /**
   * Asks the fastest live server, and the next on failure. Calls run concurrently. A repeated request may be handled
   * twice.
   * @returns the reply's frames, or with a codec the value
   * @throws TimeoutError `ETIMEDOUT`; ServiceError `ERR_SERVICE`: the server's handler failed; AbortedError
   *   `ABORT_ERR`; InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`; `EAGAIN` while draining or when it
   *   closes; InvalidArgumentError, InvalidMessageError for a body that cannot be encoded, or a reply that the codec
   *   refuses
   */
  request(body: BodyFor<T>, options: CallOptions = {}): Promise<BodyOf<T>> {
    try {
      const { timeout = this.#timeout, signal } = checkOptions(
        "FreelanceClient.request",
        CALL_OPTIONS,
        options,
      );
      const frames = this.#shape.encode(body);
      this.assertOpen();
      const sequence = this.#rules.next;
      // The rules have the timeout.
      const onGivenUp = (): void => void this.#rules.cancel(sequence);
      const call = this.#pending.add<BodyOf<T>>(costOf(frames), { signal, onGivenUp });
      this.#timer.run((now) => this.#rules.request(call, frames, timeout < 0 ? NEVER : timeout, now));
      return call.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Settles when a server is connected.
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN`
   */
  ready(options: PatternWaitOptions = {}): Promise<void> {
    return this.whenConnected(this.#router, options);
  }

  servers(): FreelanceServerStatus[] {
    return this.#rules.servers();
  }

  stats(): FreelanceClientStats {
    return { ...this.#rules.stats(), pendingBytes: this.#pending.bytes, invalid: this.#invalid };
  }

  /** @internal */
  protected override onDrain(): Promise<void> {
    return this.#pending.idle();
  }

  /** @internal */
  protected async onClose(): Promise<void> {
    this.#list.stop();
    this.#timer.stop();
    this.#pending.close();
    this.#router.events.close();
    await this.#router.close({ linger: 0 });
  }

  async #read(): Promise<void> {
    for await (const [id, ...frames] of this.#router) {
      const server = (id as Buffer).toString();
      const command = parseClientMessage(frames);
      if (command === undefined || !this.#rules.receive(server, command, this.#timer.now())) {
        this.#invalid += 1;
        this.events.emit({ type: "message:invalid", server, frames: frames.length });
      }
      this.#timer.update();
    }
  }

  #joined(address: string, routingId: Buffer | undefined): void {
    const name = this.#nameOf(address, routingId);
    if (routingId !== undefined && !this.#rules.endpoints.includes(name))
      this.events.emit({ type: "peer:invalid", address, routingId });
    this.#timer.run((now) => this.#rules.joined(routingId === undefined ? undefined : name, now));
  }

  /** Engines without routing ids report the dialled endpoint. */
  #nameOf(address: string, routingId: Buffer | undefined): string {
    return routingId?.toString() ?? address;
  }
}
