/** Options, events and statistics of a client. */

import { type EventsOf, event } from "../../core/event-stream.js";
import type { ServiceClient, ServiceContract } from "../../kit/contract.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import {
  anything,
  bytes,
  checkOptions,
  choice,
  codec,
  type Given,
  type GivenWithCodecs,
  integer,
  object,
  type Settings,
} from "../../kit/options.js";
import type { Raw } from "../../sockets/message.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { MAJORDOMO_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { CallTerms } from "./client-calls.js";
import { Dialect, EMPTY, encodeHeaders, MAX_HEADERS } from "./protocol.js";

export const OPTIONS = {
  /**
   * `"auto"` asks for shoal's dialect, else speaks MDP 0.1; a broker without 8/MMI, or of 0.2 alone, needs its version.
   * Default `"auto"`.
   */
  protocol: choice(["auto", "0.1", "0.2"], "auto"),
  /** ms for a request with all attempts; -1: no limit. Default 30,000. */
  timeout: integer({ default: 30_000, min: -1 }),
  /** Attempts after the first. Default 2. */
  retries: integer({ default: 2, min: 0 }),
  /** ms between heartbeats while answers are pending. Default 2,500. */
  heartbeatInterval: integer({ default: 2_500 }),
  /** Intervals of silence before the next broker is used. Default 3. */
  liveness: integer({ default: 3 }),
  /** Sent requests without an answer; more are queued. Default 1,000. */
  maxInFlight: integer({ default: 1_000, min: 0 }),
  /** Queued requests; more reject with `ERR_TOO_MANY_PENDING`. Default 100,000. */
  maxPending: integer({ default: 100_000, min: 0 }),
  /** Bytes of unanswered requests; more reject with `ERR_TOO_MANY_PENDING`. Default 256 MiB. */
  maxPendingBytes: bytes({ default: 268_435_456, min: 0 }),
  /**
   * Bytes of joined pieces in `request`, or of unread pieces from a plain broker; past it an answer fails as
   * `too-large`. Default 64 MiB.
   */
  maxAnswerBytes: bytes({ default: 67_108_864, min: 0 }),
  requestCodec: codec(),
  replyCodec: codec(),
  /** Options of the DEALERs: security, context, high-water marks. */
  socketOptions: object<DealerOptions>(["codec"]),
};

/** Options of {@link MajordomoClient}. Times are in ms. */
export type MajordomoClientOptions<Req = Raw, Rep = Raw> = GivenWithCodecs<typeof OPTIONS, Req, Rep>;

const CALL_OPTIONS = {
  /**
   * ms for the whole request, divided among its `retries + 1` attempts; each piece restarts its attempt's. -1: no
   * limit. Default: the client's.
   */
  timeout: integer({ min: -1 }),
  /** Attempts after the first. Default: the client's. */
  retries: integer({ min: 0 }),
  /** Texts for the handler's context, 8,192 bytes at most. Rejects with `NOT_SUPPORTED` at a plain broker. */
  headers: anything<Readonly<Record<string, string>>>(),
  /** Cancels the request and aborts the handler's signal. */
  signal: anything<AbortSignal>(),
};

/** Options of a call. */
export type MajordomoCallOptions = Given<typeof CALL_OPTIONS>;

/** A function for each method of the contract. */
export type MajordomoService<C extends ServiceContract> = ServiceClient<C, MajordomoCallOptions>;

export type ClientSettings = Settings<typeof OPTIONS>;

/** @throws InvalidArgumentError `EINVAL` */
export function checkCall(method: string, options: object): void {
  checkOptions(`MajordomoClient.${method}`, CALL_OPTIONS, options);
}

/** `undefined` counts as not given. */
export function mergeCall(
  defaults: MajordomoCallOptions | undefined,
  options: MajordomoCallOptions | undefined,
): MajordomoCallOptions | undefined {
  if (options === undefined) return defaults;
  checkCall("service", options);
  const merged: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(options)) if (value !== undefined) merged[name] = value;
  return merged;
}

/** Dialect by option value; `undefined`: negotiate. */
export const PROTOCOLS: Readonly<Record<"auto" | "0.1" | "0.2", Dialect | undefined>> = {
  auto: undefined,
  "0.1": Dialect.Mdp01,
  "0.2": Dialect.Mdp02,
};

/** @param timeout ms in total, -1: no limit. @throws InvalidArgumentError `EINVAL` for headers */
export function callTerms(
  timeout: number,
  retries: number,
  headers?: Readonly<Record<string, string>>,
): CallTerms {
  return {
    timeout: timeout < 0 ? 0 : Math.max(1, timeout / (retries + 1)),
    retries,
    total: timeout < 0 ? 0 : timeout,
    headers: headers === undefined ? EMPTY : encodeHeaders(headers),
  };
}

/** Adds trace headers if they fit. */
export function observedTerms(
  terms: CallTerms,
  added: Readonly<Record<string, string>> | undefined,
): CallTerms {
  if (added === undefined) return terms;
  try {
    const observed = Buffer.concat([terms.headers, encodeHeaders(added)]);
    return observed.length > MAX_HEADERS ? terms : { ...terms, observed };
  } catch {
    return terms; // No header that can be sent.
  }
}

/** Why a client left its broker. */
export type MajordomoBrokerLeaveReason =
  /** No answer to the negotiation. */
  | "no-answer"
  /** Silent for `liveness` intervals while answers were pending. */
  | "silent"
  /** The broker missed heartbeats and dropped this client's requests; it is used again. */
  | "forgotten"
  /** The connection ended. */
  | "disconnected"
  /** The connection was refused, and there are other brokers. */
  | "refused"
  /** Removed from the endpoint source; pending answers are still awaited. */
  | "removed"
  /** The broker drains, and there are others; pending answers are still awaited. */
  | "stopping";

export const EVENTS = {
  /** A broker answered. `extended`: it is shoal's, and requests have ids. */
  "broker:joined": event<{ readonly endpoint: string; readonly extended: boolean }>(),
  /** The broker was left; its requests are sent again. */
  "broker:left": event<{ readonly endpoint: string; readonly reason: MajordomoBrokerLeaveReason }>(),
  /** An invalid message. */
  "peer:invalid": event<{ readonly endpoint: string }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type MajordomoClientEvent = EventsOf<typeof EVENTS>;

/** `requests = answered + failed + timedOut + cancelled + pending + inFlight`. */
export type MajordomoClientStats = StatisticsOf<typeof MAJORDOMO_CLIENT>;
