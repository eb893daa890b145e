import { checkKeys, invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import { MAX_TIMEOUT } from "../core/waiter.js";
import { resolveOptions } from "../sockets/check-options.js";
import { Context } from "../sockets/context.js";
import { type EndpointSource, isEndpointSource } from "../sockets/endpoint-source.js";
import type { PairOptions } from "../sockets/pair.js";
import type { PullOptions, PushOptions } from "../sockets/pipeline.js";
import type {
  PublisherOptions,
  SubscriberOptions,
  XPublisherOptions,
  XSubscriberOptions,
} from "../sockets/pub-sub.js";
import type { DealerOptions, ReplyOptions, RouterOptions } from "../sockets/request-reply.js";
import type { CommonOptions } from "../sockets/socket-options.js";
import { isWildcard } from "./own-endpoints.js";
import { type ProxySocketType, SIDE_TYPES } from "./pairs.js";
import { checkPolicy, type ProxyPolicy } from "./policy/policy.js";

/** Socket options that sides lack, and why. */
export const UNFIT = {
  codec: "a proxy relays frames as they are",
  context: "the proxy has one for all its sockets",
  mandatory: "what cannot be routed is dropped and counted",
  manual: "subscriptions pass to the other side",
  verbosity: "each subscription passes once",
  sendTimeout: "a proxy waits for room without limit",
  receiveTimeout: "a proxy waits for messages without limit",
  maxPendingSends: "a proxy has one message in flight",
  maxPendingSendBytes: "a proxy has one message in flight",
  maxPendingReceives: "a proxy has one message in flight",
} as const;

type Unfit = keyof typeof UNFIT;

/** Timeout of a drain in flags and configuration files, s. */
export const DRAIN = { default: 10, min: 0, max: Math.floor(MAX_TIMEOUT / 1_000) };

export const MAX_NAME = 64;

export const NAME_PATTERN = `^[A-Za-z0-9_.-]{1,${MAX_NAME}}$`;

export const NAME_RULE = `a name of at most ${MAX_NAME} letters, digits, _, . and -`;

export function isName(value: unknown): value is string {
  return typeof value === "string" && new RegExp(NAME_PATTERN).test(value);
}

export interface ProxyEndpoints {
  /** Endpoints to bind; `endpoints` resolves their wildcards. */
  readonly bind?: string | readonly string[];
  /** Endpoints to connect to, or their source, such as a cluster's resolver. */
  readonly connect?: string | readonly string[] | EndpointSource;
}

/** Endpoints and socket options of a side: high-water marks, heartbeats, CURVE, PLAIN, `authenticate`, … */
export type ProxySideOptions<O> = ProxyEndpoints & Readonly<Omit<O, Unfit>>;

export interface ProxySubscriptions {
  /** Topic prefixes of a `sub` side. Default: everything. */
  readonly subscribe?: string | readonly string[];
}

export interface ProxyPoliced {
  /** Limits peers and messages. Default: only the socket's options do. */
  readonly policy?: ProxyPolicy;
}

export interface ProxySideOptionsByType {
  readonly router: ProxySideOptions<RouterOptions> & ProxyPoliced;
  readonly dealer: ProxySideOptions<DealerOptions> & ProxyPoliced;
  readonly pair: ProxySideOptions<PairOptions> & ProxyPoliced;
  readonly pull: ProxySideOptions<PullOptions> & ProxyPoliced;
  readonly push: ProxySideOptions<PushOptions> & ProxyPoliced;
  readonly sub: ProxySideOptions<SubscriberOptions> & ProxySubscriptions & ProxyPoliced;
  readonly pub: ProxySideOptions<PublisherOptions> & ProxyPoliced;
  readonly xsub: ProxySideOptions<XSubscriberOptions> & ProxyPoliced;
  readonly xpub: ProxySideOptions<XPublisherOptions> & ProxyPoliced;
}

export type TypedProxySideOptions = {
  [T in ProxySocketType]: { readonly type: T } & ProxySideOptionsByType[T];
}[ProxySocketType];

/** Receives a copy of each message, both ways. */
export type ProxyCaptureOptions =
  /** Every subscriber gets copies, with the first frame as topic. */
  | ({ readonly type: "pub" } & ProxySideOptions<PublisherOptions>)
  /** Each copy goes to one peer in turn, or is missed if none has room. */
  | ({ readonly type: "push" } & ProxySideOptions<PushOptions>);

/** Programs that reach the control socket can pause and end the proxy. */
export type ProxyControlOptions =
  /** Answers every command. */
  | ({ readonly type?: "rep" } & ProxySideOptions<ReplyOptions>)
  /** Answers STATISTICS, JSON commands and errors, but no other words, as libzmq. */
  | ({ readonly type: "pair" } & ProxySideOptions<PairOptions>)
  /** Answers nothing. */
  | ({ readonly type: "sub" } & ProxySideOptions<SubscriberOptions>);

export interface ProxyOptions<F, B> {
  readonly frontend: F;
  readonly backend: B;
  readonly capture?: ProxyCaptureOptions;
  readonly control?: ProxyControlOptions;
  /** Label in statistics: up to 64 letters, digits, `_`, `.` and `-`. Default: none. */
  readonly name?: string;
  /** Default: the process-wide context. */
  readonly context?: Context;
}

/** Options of {@link SocketProxy.setCertificates}. */
export type ProxyCertificates = Pick<CommonOptions, "tlsCert" | "tlsKey" | "tlsPassphrase" | "tlsCa">;

export type PlanType = ProxySocketType | "rep";

export function typeNameOf(type: PlanType): SocketTypeName {
  return type === "rep" ? "Reply" : SIDE_TYPES[type];
}

export type ProxySocketName = "frontend" | "backend" | "capture" | "control";

export const SOCKET_NAMES: readonly ProxySocketName[] = ["frontend", "backend", "capture", "control"];

export interface SocketPlan {
  readonly name: ProxySocketName;
  readonly type: PlanType;
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** Replaces `connect`. */
  readonly source: EndpointSource | undefined;
  readonly subscribe: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly policy: ProxyPolicy | undefined;
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkOptions(what: string, options: unknown): asserts options is Record<string, unknown> {
  checkKeys(what, options as object, ["frontend", "backend", "capture", "control", "name", "context"]);
  const { context, name } = options as Record<string, unknown>;
  if (name !== undefined && !isName(name))
    throw invalidArgument(`Option name of ${what} must be ${NAME_RULE}`, name);
  if (context !== undefined && !(context instanceof Context))
    throw invalidArgument(`Option context of ${what} must be a Context`, context);
}

/**
 * @param usual default type
 * @throws InvalidArgumentError `EINVAL` for an invalid option, or no endpoint
 */
export function planOf(
  name: ProxySocketName,
  types: readonly PlanType[],
  usual: PlanType | undefined,
  given: unknown,
): SocketPlan {
  if (typeof given !== "object" || given === null)
    throw invalidArgument(`${name} must be an object such as { bind: "tcp://*:5555" }`, given);
  const { type = usual, bind, connect, subscribe, policy, ...options } = given as Record<string, unknown>;
  if (!types.includes(type as PlanType))
    throw invalidArgument(`Option type of ${name} must be one of ${types.join(", ")}`, type);
  for (const [option, why] of Object.entries(UNFIT)) {
    if (options[option] !== undefined)
      throw new InvalidArgumentError(`${name} has no option ${option}: ${why}`);
  }
  if (options.conflate === true && type === "dealer")
    throw new InvalidArgumentError(`${name} has no option conflate: requests have more than one frame`);
  const { authenticate, ...rest } = options;
  if (authenticate !== undefined && typeof authenticate !== "function")
    throw invalidArgument(`Option authenticate of ${name} must be a function`, authenticate);
  resolveOptions(typeNameOf(type as PlanType), rest);
  if (subscribe !== undefined && type !== "sub")
    throw new InvalidArgumentError(`${name} has no option subscribe; a side of type sub has it`);
  if (policy !== undefined && name !== "frontend" && name !== "backend")
    throw new InvalidArgumentError(`${name} has no option policy; frontend and backend have it`);
  const plan: SocketPlan = {
    name,
    type: type as PlanType,
    bind: endpointsOf(name, "bind", bind),
    connect: isEndpointSource(connect) ? [] : endpointsOf(name, "connect", connect),
    source: isEndpointSource(connect) ? connect : undefined,
    subscribe: subscribe === undefined ? [""] : textsOf(name, "subscribe", subscribe),
    options,
    policy:
      policy === undefined
        ? undefined
        : checkPolicy({ name, type: type as ProxySocketType, options }, policy),
  };
  if (plan.bind.length + plan.connect.length === 0 && plan.source === undefined)
    throw new InvalidArgumentError(`${name} needs an endpoint: bind, connect or both`);
  return plan;
}

function endpointsOf(name: string, option: string, value: unknown): readonly string[] {
  if (value === undefined) return [];
  const endpoints = textsOf(name, option, value);
  const twice = endpoints.find((endpoint, at) => !isWildcard(endpoint) && endpoints.indexOf(endpoint) < at);
  if (twice !== undefined) throw new InvalidArgumentError(`${option} of ${name} names ${twice} twice`);
  return endpoints;
}

function textsOf(name: string, option: string, value: unknown): readonly string[] {
  const texts: unknown[] = Array.isArray(value) ? [...value] : [value];
  for (const text of texts) {
    if (typeof text !== "string")
      throw invalidArgument(`${option} of ${name} must be a string, or several`, text);
  }
  return texts as string[];
}
