/** Client of model 3 (10/FLP): the rules of client-rules.ts, with a DEALER for each server. */

import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { DriverTimer } from "../../core/timers.js";
import { BodyShape } from "../../kit/body.js";
import type { PendingCall } from "../../kit/calls.js";
import { DEALER_CLIENT_OPTIONS, DealerClient } from "../../kit/dealer-client.js";
import { ENDPOINT_SOURCE_EVENTS, type PatternEndpoints } from "../../kit/endpoint-list.js";
import { ServiceError } from "../../kit/errors.js";
import { checkOptions, codec, type GivenWithCodec, integer } from "../../kit/options.js";
import type { MessageLike, Raw } from "../../sockets/message.js";
import type { FREELANCE_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import {
  FreelanceCall,
  FreelanceRules,
  type FreelanceServerStatus,
  SERVER_EVENTS,
  Server,
} from "./client-rules.js";
import { parseClientMessage } from "./protocol.js";

const EVENTS = {
  ...SERVER_EVENTS,
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
  ...DEALER_CLIENT_OPTIONS,
  codec: codec(),
};

export type FreelanceClientOptions<T = Raw> = GivenWithCodec<typeof OPTIONS, T>;

type Call = FreelanceCall<PendingCall<unknown>>;

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
export class FreelanceClient<T = Raw> extends DealerClient<
  T,
  T,
  Call,
  Server,
  FreelanceClientEvent,
  FreelanceClientStats
> {
  readonly #rules: FreelanceRules<PendingCall<unknown>>;
  readonly #timer: DriverTimer;
  #invalid = 0;

  /**
   * @param endpoints of the servers; or a source: requests at a removed server go to another
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: FreelanceClientOptions<T> = {}) {
    const settings = checkOptions("FreelanceClient", OPTIONS, options);
    const { pingInterval, timeToLive } = settings;
    if (timeToLive <= pingInterval)
      throw new InvalidArgumentError(
        `Option timeToLive must be above pingInterval, or every server dies between PINGs; got ${timeToLive}`,
      );
    const shape = new BodyShape(options.codec);
    super("FreelanceClient", EVENTS, endpoints, settings, { requests: shape, replies: shape, Server });
    this.#timer = new DriverTimer(pingInterval);
    this.#rules = new FreelanceRules(settings, {
      send: (server, frames, call) => this.#send(server, frames, call),
      replied: (call, body) => void this.settle(call, body),
      failed: ({ pending }, server, text) => pending.reject(new ServiceError("worker-failed", server, text)),
      event: (event) => this.events.emit(event),
    });
    this.#timer.start(this.#rules);
    this.start();
  }

  servers(): FreelanceServerStatus[] {
    return this.peers.map((server) => this.#rules.status(server));
  }

  stats(): FreelanceClientStats {
    return { ...this.#rules.stats(), pendingBytes: this.calls.bytes, invalid: this.#invalid };
  }

  /** @internal */
  protected override async onClose(): Promise<void> {
    this.#timer.stop();
    await super.onClose();
  }

  protected override prepare(frames: Buffer[], pending: PendingCall<unknown>): Call {
    return new FreelanceCall(frames, pending);
  }

  protected override begin(call: Call): void {
    this.#timer.run((now) => this.#rules.request(call, now));
  }

  protected override givenUp(call: Call, why: "timeout" | "aborted"): void {
    this.#rules.cancel(call, why === "timeout");
  }

  protected override joined(server: Server): void {
    this.#timer.run((now) => this.#rules.joined(server, now));
  }

  protected override left(server: Server): void {
    this.#timer.run((now) => this.#rules.left(server, now));
  }

  protected override proceed(): void {
    this.#timer.run((now) => this.#rules.proceed(now));
  }

  protected override receive(server: Server, frames: Buffer[]): void {
    const command = parseClientMessage(frames);
    if (command === undefined) {
      this.#invalid += 1;
      this.events.emit({ type: "message:invalid", server: server.endpoint, frames: frames.length });
      return;
    }
    this.#rules.receive(server, command, this.#timer.now());
    this.#timer.update();
  }

  #send(server: Server, frames: MessageLike[], call: Call | undefined): boolean {
    try {
      return this.trySend(server, frames);
    } catch (error) {
      // The request exceeds the context's byte limit. The rules are in the middle of it.
      queueMicrotask(() => {
        if (call === undefined) return;
        this.#rules.cancel(call, false);
        call.pending.reject(error as ShoalError);
      });
      return true;
    }
  }
}
