/** What a worker's user sets, sees and writes: its options, its events and statistics, and the type of its handler. */

import { InvalidArgumentError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import type { BodyFor, BodyOf } from "../kit/body.js";
import type { ServiceContract, ServiceHandlers } from "../kit/contract.js";
import type { EndpointSourceEvent } from "../kit/endpoint-list.js";
import {
  boolean,
  bytes,
  checkOptions,
  choice,
  codec,
  type Given,
  integer,
  object,
  type Settings,
  text,
} from "../kit/options.js";
import { MAX_CAPACITY, RESERVED_PREFIX, serviceFrame } from "./wire.js";

/** Handlers from which on none is so slow for the others that requests should not wait behind it. */
const MANY = 16;

/** Requests that wait at such a worker at least. */
const AHEAD = 100;

/** Requests that wait at a worker of fewer, which gives them back when its handlers take long. */
const FEW_AHEAD = 16;

const OPTIONS = {
  /**
   * Requests handled at once, 1 to 65,535; of a plain broker 64 at most, over a connection each. Default 1.
   */
  concurrency: integer({ default: 1, max: MAX_CAPACITY }),
  /**
   * Requests that a broker of shoal may give beyond those, 0 to 65,535: they wait here, so that the worker need not wait
   * for the broker between two. The broker gives them only to a worker that answers more than 4,000 a second, and only
   * while no worker of the service has a handler free. When no handler has ended for 10 ms after all, those that wait go
   * back to the broker, which asks others; not while a handler blocks the event loop. Default: 16, and from a `concurrency`
   * of 16 on 100, or `concurrency` where that is more.
   */
  prefetch: integer({ min: 0, max: MAX_CAPACITY }),
  /**
   * `"auto"` asks the broker whether it knows shoal's own form, and else speaks MDP 0.1; `"0.1"` and `"0.2"`
   * do not ask. A broker that knows MDP 0.2 only has to be named so. Default `"auto"`.
   */
  protocol: choice(["auto", "0.1", "0.2"], "auto"),
  /** What the worker is called in the broker's events. Default: 8 hexadecimal digits by chance. */
  name: text(),
  /** ms between two HEARTBEATs. Default 2,500. */
  heartbeatInterval: integer({ default: 2_500 }),
  /** Intervals of a broker's silence after which it is taken for dead. Default 3. */
  liveness: integer({ default: 3 }),
  /** ms, at most, until the worker comes back to a broker that it lost; doubled each time. Default 250. */
  reconnectInterval: integer({ default: 250, min: 0 }),
  /** Where the doubling ends. Default 32,000. */
  reconnectMaxInterval: integer({ default: 32_000, min: 0 }),
  /** Request ids remembered, so that a repetition does not reach the handler. Default 10,000; 0: none. */
  dedupWindow: integer({ default: 10_000, min: 0 }),
  /** Bytes of replies remembered for repetitions. Default 16 MiB. */
  dedupBytes: bytes({ default: 16_777_216, min: 0 }),
  /**
   * Bytes of replies that wait for room at the connections: past it no further handler begins until they have left. A
   * handler keeps its place among `concurrency` until its reply has left. For a broker of MDP 0.1, which has no pieces,
   * it bounds the joined pieces of an answer, too: past it the request fails as `too-large`. Default 64 MiB.
   */
  maxReplyBytes: bytes({ default: 67_108_864, min: 0 }),
  /**
   * ms that an answer in pieces waits for its client to read on, until it fails as `slow-reader` and the generator is
   * ended; 0: no limit. Default 300,000.
   */
  creditTimeout: integer({ default: 300_000, min: 0 }),
  /**
   * Whether clients get the message of any error that a handler throws. Otherwise they get that of a `ServiceError`, and
   * of an error with `expose: true`; of each error its `code` and `data` (as `handlerCode` and `data` of the `ServiceError`). Default false.
   */
  exposeErrors: boolean(false),
  /** Options of the DEALERs: security, context, high-water marks. */
  socketOptions: object<DealerOptions>(),
};
const CODECS = { requestCodec: codec(), replyCodec: codec() };

/** Options of {@link MajordomoWorker}. Times are in ms. */
export type MajordomoWorkerOptions<Req = Raw, Rep = Raw> = MajordomoServeOptions & {
  /** Decodes a request, of one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Encodes a reply, as one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
};

/** Options of {@link MajordomoWorker.serve}: the contract has the codec. */
export type MajordomoServeOptions = Given<typeof OPTIONS>;

/** The handlers of a contract's methods, each with what any handler gets in addition to the request. */
export type MajordomoHandlers<C extends ServiceContract> = ServiceHandlers<C, MajordomoRequestContext>;

/** The options of the rules, all of them there. */
export type WorkerSettings = Settings<typeof OPTIONS> & { readonly prefetch: number };

/** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
export function workerSettings(given: object): WorkerSettings {
  const settings = checkOptions("MajordomoWorker", { ...OPTIONS, ...CODECS }, given);
  const { concurrency } = settings;
  const usual = concurrency < MANY ? FEW_AHEAD : Math.max(concurrency, AHEAD);
  const { prefetch = usual } = settings;
  return Object.freeze({ ...settings, prefetch });
}

/** Names of the options of `serve`. */
export const SERVE_OPTIONS: readonly string[] = Object.keys(OPTIONS);

/** The name as bytes. @throws InvalidArgumentError `EINVAL` for one that no service can have */
export function checkedService(service: string): Buffer {
  const frame = serviceFrame(service);
  if (service.startsWith(RESERVED_PREFIX)) {
    throw new InvalidArgumentError(`Services ${RESERVED_PREFIX}* are the broker's own; got ${service}`);
  }
  return frame;
}

/** What a handler may give back: the reply, or pieces of it as they come, and with `return` the last. */
export type MajordomoHandlerResult<T> =
  | BodyFor<T>
  | Promise<BodyFor<T>>
  | AsyncGenerator<BodyFor<T>, BodyFor<T> | undefined, void>
  | AsyncGenerator<BodyFor<T>, void, void>;

/** Handles one request of a service. */
export type MajordomoHandler<Req = Raw, Rep = Raw> = (
  request: BodyOf<Req>,
  context: MajordomoRequestContext,
) => MajordomoHandlerResult<Rep>;

/** What a handler gets in addition to the request's body. */
export interface MajordomoRequestContext {
  /** Aborted when nobody waits for the answer any more: given up, the broker lost, the worker closing. */
  readonly signal: AbortSignal;
  /** The service that was asked. */
  readonly service: string;
  /** The same for each repetition of a request; 32 hexadecimal digits, `undefined` from a plain client or broker. */
  readonly id: string | undefined;
  /** What the client gave as `headers`; none from a plain client or broker. */
  readonly headers: Readonly<Record<string, string>>;
  /** When the client stops waiting; `undefined`: never, or not known, as from a plain client or broker. */
  readonly deadline: Date | undefined;
  /** 1, and 1 more for each delivery of the request before, to a worker that was lost with it; 1 from a plain broker. */
  readonly attempt: number;
}

export type MajordomoWorkerEvent =
  /** A broker may give requests from now on. */
  | { readonly type: "broker:joined"; readonly endpoint: string; readonly dialect: "0.1" | "0.2" | "shoal" }
  /** A broker said DISCONNECT, is silent, or its connection ended (`lost`); the worker comes back to it after `retryIn` ms. */
  | {
      readonly type: "broker:left";
      readonly endpoint: string;
      readonly reason: "disconnect" | "expired" | "lost" | "stopping";
      readonly retryIn: number;
    }
  /** The handler threw, rejected or gave what is no reply. */
  | { readonly type: "handler:failed"; readonly error: unknown }
  /** A request whose answer nobody waits for any more: its signal is aborted. */
  | { readonly type: "request:cancelled" }
  /** A request that was handled before: its answer is sent again. */
  | { readonly type: "request:repeated" }
  /** The request does not pass the codec, or does not conform to the contract; its client got the reason. */
  | { readonly type: "request:invalid"; readonly error: unknown }
  /** A message that the protocol does not allow. */
  | { readonly type: "peer:invalid"; readonly endpoint: string }
  | EndpointSourceEvent;

/** A worker's statistics. `requests = answered + failed + cancelled + stale + returned + running + queued`. */
export interface MajordomoWorkerStats {
  readonly requests: number;
  readonly answered: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Answers for a broker that was lost meanwhile. */
  readonly stale: number;
  /** Requests that waited behind handlers which took long, and went back to the broker. */
  readonly returned: number;
  /** Requests that were answered from memory, or together with the one they repeat. */
  readonly duplicates: number;
  readonly faults: number;
  /** Handlers that run now, or whose replies wait for room. */
  readonly running: number;
  /** Requests that wait for a handler to end. */
  readonly queued: number;
  /** Bytes of replies that wait for room at the connections. */
  readonly unsentBytes: number;
  /** Brokers that may give requests now; several connections to a plain one count as one. */
  readonly brokers: number;
}
