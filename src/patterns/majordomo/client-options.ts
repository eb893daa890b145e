/** What a client's user sets and sees: its options and those of its calls, its events and its statistics. */

import type { Codec } from "../../sockets/codec.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import type { ServiceClient, ServiceContract } from "../kit/contract.js";
import type { EndpointSourceEvent } from "../kit/endpoint-list.js";
import {
  bytes,
  checkCount,
  checkKeys,
  checkOptions,
  choice,
  codec,
  type Given,
  integer,
  object,
  type Settings,
} from "../kit/options.js";
import type { CallTerms } from "./client-calls.js";
import { Dialect, EMPTY, encodeHeaders, MAX_HEADERS } from "./wire.js";

const OPTIONS = {
  /**
   * `"auto"` asks the broker whether it knows shoal's own form, and else speaks MDP 0.1; `"0.1"` and `"0.2"`
   * do not ask. A broker that knows MDP 0.2 only has to be named so. Default `"auto"`.
   */
  protocol: choice(["auto", "0.1", "0.2"], "auto"),
  /** ms for a request, all its attempts together, unless the call says otherwise; -1: no limit. Default 30,000. */
  timeout: integer({ default: 30_000, min: -1 }),
  /** Times that a request is sent again, unless the call says otherwise. Default 2. */
  retries: integer({ default: 2, min: 0 }),
  /** ms between two heartbeats while answers are awaited. Default 2,500. */
  heartbeatInterval: integer({ default: 2_500 }),
  /** Intervals of a broker's silence after which the next one is asked. Default 3. */
  liveness: integer({ default: 3 }),
  /** Requests sent and not answered; more wait. Default 1,000. */
  maxInFlight: integer({ default: 1_000, min: 0 }),
  /** Requests that wait to be sent; one more is refused with `ERR_TOO_MANY_PENDING`. Default 100,000. */
  maxPending: integer({ default: 100_000, min: 0 }),
  /** Bytes of the requests that have no answer yet; one more is refused with `ERR_TOO_MANY_PENDING`. Default 256 MiB. */
  maxPendingBytes: bytes({ default: 268_435_456, min: 0 }),
  /** Connections to a plain broker, each with one request at a time. Default 16. */
  maxConnections: integer({ default: 16, min: 0 }),
  /**
   * Bytes of one answer's pieces that are joined by `request`; or that wait to be read, where the broker is a plain one,
   * which cannot be asked to wait. Past it the request fails as `too-large`. Default 64 MiB.
   */
  maxAnswerBytes: bytes({ default: 67_108_864, min: 0 }),
  requestCodec: codec(),
  replyCodec: codec(),
  /** Options of the DEALERs: security, context, high-water marks. */
  socketOptions: object<DealerOptions>(),
};

/** Options of {@link MajordomoClient}. Times are in ms. */
export type MajordomoClientOptions<Req = Raw, Rep = Raw> = Omit<
  Given<typeof OPTIONS>,
  "requestCodec" | "replyCodec"
> & {
  /** Encodes a request, as one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Decodes a reply, of one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
};

/** What a call takes. */
export interface MajordomoCallOptions {
  /**
   * ms for the whole request; -1: no limit. Each of its `retries + 1` attempts has an equal part of it; a
   * piece of the answer starts its part again. Default: the client's.
   */
  readonly timeout?: number;
  /** Times that it is sent again when an attempt is over or the broker is lost. Default: the client's. */
  readonly retries?: number;
  /**
   * For the handler, which has them in its context: texts by name, 8,192 bytes at most. With a plain broker the call
   * rejects with `NOT_SUPPORTED`; a plain worker does not get them.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** Gives the request up; the worker's signal is aborted. */
  readonly signal?: AbortSignal;
}

/** A service as {@link MajordomoClient.service} gives it: a function for each method of its contract. */
export type MajordomoService<C extends ServiceContract> = ServiceClient<C, MajordomoCallOptions>;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function clientSettings(given: object): Settings<typeof OPTIONS> {
  return checkOptions("MajordomoClient", OPTIONS, given);
}

const CALL_KEYS = ["timeout", "retries", "signal", "headers"] as const;

/** @param method that takes them. @throws InvalidArgumentError `EINVAL` for what is not an object, and an unknown option */
export function checkCall(method: string, options: object): void {
  checkKeys(`MajordomoClient.${method}`, options, CALL_KEYS);
}

/** A call's options over those that a service gives to all calls; `undefined` counts as not given. */
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

/** The dialect of each `protocol`; `undefined`: to be asked for. */
export const PROTOCOLS: Readonly<Record<"auto" | "0.1" | "0.2", Dialect | undefined>> = {
  auto: undefined,
  "0.1": Dialect.Mdp01,
  "0.2": Dialect.Mdp02,
};

/** What a call asks for. @param timeout ms of all its attempts, -1: no limit. @throws InvalidArgumentError `EINVAL` */
export function callTerms(
  timeout: number,
  retries: number,
  headers?: Readonly<Record<string, string>>,
): CallTerms {
  checkCount("timeout", timeout, -1);
  checkCount("retries", retries, 0);
  return {
    timeout: timeout < 0 ? 0 : Math.max(1, timeout / (retries + 1)),
    retries,
    total: timeout < 0 ? 0 : timeout,
    headers: headers === undefined ? EMPTY : encodeHeaders(headers),
  };
}

/** The same with headers of who observes the client, unless there is no room for them. */
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

/** Why a client leaves a broker. */
export type MajordomoBrokerLeaveReason =
  /** It was asked who it is, and did not say. */
  | "no-answer"
  /** It said nothing for `liveness` intervals, while answers were awaited. */
  | "silent"
  /** It has begun a new life behind the same endpoint. */
  | "restarted"
  /** It heard nothing of this client for `liveness` intervals, and dropped what that had asked for. It is asked again. */
  | "forgotten"
  /** Its connection ended. */
  | "disconnected"
  /** No connection to it could be made, and there are other brokers. */
  | "refused"
  /** The source of endpoints has it no more; what it was asked is still awaited. */
  | "removed"
  /** It stops, and refuses requests; what it has taken is still awaited. There are other brokers. */
  | "stopping"
  /** One that precedes it in the list has answered that it takes requests; what this one was asked is still awaited. */
  | "preferred";

/** What happens to a client. */
export type MajordomoClientEvent =
  /** A broker answers. `extended`: requests carry ids; otherwise it is a plain MDP broker. */
  | { readonly type: "broker:joined"; readonly endpoint: string; readonly extended: boolean }
  /** A broker is lost: what it was asked is asked again. */
  | { readonly type: "broker:left"; readonly endpoint: string; readonly reason: MajordomoBrokerLeaveReason }
  /** A message that the protocol does not allow. */
  | { readonly type: "peer:invalid"; readonly endpoint: string }
  | EndpointSourceEvent;

/** A client's statistics. `requests = answered + failed + timedOut + cancelled + pending + inFlight`. */
export interface MajordomoClientStats {
  readonly requests: number;
  readonly answered: number;
  /** Ended with a ServiceError. */
  readonly failed: number;
  readonly timedOut: number;
  readonly cancelled: number;
  /** Answers to what nobody waits for. */
  readonly late: number;
  readonly faults: number;
  /** Requests that wait to be sent. */
  readonly pending: number;
  /** Requests that wait for their answer. */
  readonly inFlight: number;
  /** The broker in use; `undefined` while none answers. */
  readonly broker: string | undefined;
}
