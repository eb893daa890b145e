/** What a client's user sets and sees: its options and those of its calls, its events and its statistics. */

import { InvalidArgumentError, InvalidMessageError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { resolve } from "./broker-options.js";
import type { CallTerms, Decode } from "./client-calls.js";
import { Dialect, INITIAL_CREDIT } from "./protocol.js";

/** The longest time-out, in ms. */
const MAX_TIMEOUT = 2_147_483_647;

/** Bytes of a stream's window, at most. */
const MAX_WINDOW = 16_777_216;

const DEFAULTS = Object.freeze({
  protocol: "auto",
  timeout: 30_000,
  retries: 2,
  heartbeatInterval: 2_500,
  liveness: 3,
  maxInFlight: 1_000,
  maxPending: 100_000,
  maxConnections: 16,
  streamWindow: 262_144,
  maxStreamBytes: 16_777_216,
  maxAnswerBytes: 67_108_864,
});

/** Options of {@link MajordomoClient}. Times are in ms. */
export interface MajordomoClientOptions<Req = Raw, Rep = Raw> {
  /**
   * `"auto"` asks the broker whether it knows shoal's own form, and else speaks MDP 0.1; `"0.1"` and `"0.2"`
   * do not ask. A broker that knows MDP 0.2 only has to be named so. Default `"auto"`.
   */
  readonly protocol?: "auto" | "0.1" | "0.2";
  /** ms for a request, all its attempts together, unless the call says otherwise. Default 30,000. */
  readonly timeout?: number;
  /** Times that a request is sent again, unless the call says otherwise. Default 2. */
  readonly retries?: number;
  /** ms between two heartbeats while answers are awaited. Default 2,500. */
  readonly heartbeatInterval?: number;
  /** Intervals of a broker's silence after which the next one is asked. Default 3. */
  readonly liveness?: number;
  /** Requests sent and not answered; more wait. Default 1,000. */
  readonly maxInFlight?: number;
  /** Requests that wait to be sent; one more is refused with `ERR_TOO_MANY_PENDING`. Default 100,000. */
  readonly maxPending?: number;
  /** Connections to a plain broker, each with one request at a time. Default 16. */
  readonly maxConnections?: number;
  /**
   * Bytes of an answer in pieces that its worker may send ahead of the reader, 16,384 to 16,777,216; then it waits. A
   * piece that begins within them is sent whole. Default 262,144.
   */
  readonly streamWindow?: number;
  /**
   * Bytes by which all answers in pieces under way may be ahead of their readers together, beyond 16,384 for each: with
   * many of them their windows are smaller. Default 16 MiB.
   */
  readonly maxStreamBytes?: number;
  /**
   * Bytes of one answer's pieces that are joined by `request`; or that wait to be read, where the broker is a plain one,
   * which cannot be asked to wait. Past it the request fails as `too-large`. Default 64 MiB.
   */
  readonly maxAnswerBytes?: number;
  /** Encodes a request, as one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Decodes a reply, of one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
  /** Options of the DEALERs: security, context, high-water marks. */
  readonly socketOptions?: DealerOptions;
}

/** What a call takes. */
export interface MajordomoCallOptions {
  /**
   * ms for the whole request; -1: no limit. Each of its `retries + 1` attempts has an equal part of it; a
   * piece of the answer starts its part again. Default: the client's.
   */
  readonly timeout?: number;
  /** Times that it is sent again when an attempt is over or the broker is lost. Default: the client's. */
  readonly retries?: number;
  /** Gives the request up; the worker's signal is aborted. */
  readonly signal?: AbortSignal;
}

/** The options of the rules, all of them there. */
export type ClientSettings = typeof DEFAULTS;

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function resolveClientSettings(given: object): ClientSettings {
  const settings = resolve(DEFAULTS, given, "MajordomoClient");
  const { streamWindow } = settings;
  if (streamWindow < INITIAL_CREDIT || streamWindow > MAX_WINDOW) {
    throw new InvalidArgumentError(
      `streamWindow is from ${INITIAL_CREDIT} to ${MAX_WINDOW} bytes; got ${streamWindow}`,
    );
  }
  return settings;
}

/** The dialect of a `protocol`; `undefined`: to be asked for. @throws InvalidArgumentError `EINVAL` */
export function dialectOf(protocol: string): Dialect | undefined {
  switch (protocol) {
    case "auto":
      return undefined;
    case "0.1":
      return Dialect.Mdp01;
    case "0.2":
      return Dialect.Mdp02;
    default:
      throw new InvalidArgumentError(`protocol is "auto", "0.1" or "0.2"; got ${JSON.stringify(protocol)}`);
  }
}

/** What a call asks for. @param timeout ms of all its attempts, -1: no limit. @throws InvalidArgumentError `EINVAL` */
export function callTerms(all: boolean, timeout: number, retries: number): CallTerms {
  if (!Number.isSafeInteger(timeout) || timeout < -1 || timeout > MAX_TIMEOUT) {
    throw new InvalidArgumentError(`timeout is a whole number of ms, or -1; got ${String(timeout)}`);
  }
  if (!Number.isSafeInteger(retries) || retries < 0) {
    throw new InvalidArgumentError(`retries is a whole number, 0 or more; got ${String(retries)}`);
  }
  return { isBroadcast: all, timeout: timeout < 0 ? 0 : Math.max(1, timeout / (retries + 1)), retries };
}

/** What makes a reply's value of its frames. */
export function decoder(codec: Codec<unknown> | undefined): Decode<unknown> {
  if (codec === undefined) return (frames) => frames;
  return (frames) => {
    if (frames.length !== 1) {
      throw new InvalidMessageError(`A reply here has 1 frame; got ${frames.length}`);
    }
    try {
      return codec.decode(frames[0] as Buffer);
    } catch (cause) {
      if (cause instanceof InvalidMessageError) throw cause;
      throw new InvalidMessageError(`The reply is no ${codec.name}`, { cause });
    }
  };
}

/** Why a client leaves a broker. */
export type MajordomoBrokerLeaveReason =
  /** It was asked who it is, and did not say. */
  | "no-answer"
  /** It said nothing for `liveness` intervals, while answers were awaited. */
  | "silent"
  /** It has begun a new life behind the same endpoint. */
  | "restarted"
  /** Its connection ended. */
  | "disconnected"
  /** No connection to it could be made, and there are other brokers. */
  | "refused";

/** What happens to a client. */
export type MajordomoClientEvent =
  /** A broker answers. `extended`: requests carry ids; otherwise it is a plain MDP broker. */
  | { readonly type: "broker:joined"; readonly endpoint: string; readonly extended: boolean }
  /** A broker is lost: what it was asked is asked again. */
  | { readonly type: "broker:left"; readonly endpoint: string; readonly reason: MajordomoBrokerLeaveReason }
  /** A message that the protocol does not allow. */
  | { readonly type: "peer:invalid"; readonly endpoint: string };

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
