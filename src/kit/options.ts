/**
 * Options of the patterns, checked against a table before anything is opened.
 *
 *   const OPTIONS = {
 *     timeout: integer({ default: 2_500, min: -1 }),
 *     protocol: choice(["auto", "0.1"], "auto"),
 *     socketOptions: anything<DealerOptions>(), // The socket checks it.
 *   };
 *   const settings = checkOptions("MajordomoClient", OPTIONS, given);
 *
 * `undefined` counts as not given. Unknown options throw, and the error names the nearest one.
 */
import { checkKeys, invalidArgument } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { INT32 } from "../core/option-spec.js";
import { checkEndpoint as checkForm } from "../core/schemes/schemes.js";
import type { Codec } from "../sockets/codec.js";

export { checkKeys };

/** Default linger of `close`, ms. */
export const CLOSE_LINGER = 1_000;

export interface OptionSpec<T> {
  readonly default: T;
  /** Such as "a whole number from 1 to 9". */
  readonly expected: string;
  accepts(value: unknown): boolean;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;

export type Settings<S extends OptionSpecs> = {
  readonly [K in keyof S]: S[K] extends OptionSpec<infer T> ? T : never;
};

/** A table's options as a program gives them. */
export type Given<S extends OptionSpecs> = {
  readonly [K in keyof S]?: S[K] extends OptionSpec<infer T> ? T | undefined : never;
};

/** {@link Given} with the option `codec` of a body. */
export type GivenWithCodec<S extends OptionSpecs, T> = Omit<Given<S>, "codec"> & {
  /** Encodes and decodes bodies as one frame. Default: raw frames. */
  readonly codec?: Codec<T> | undefined;
};

/** {@link Given} with a codec of requests and one of replies. */
export type GivenWithCodecs<S extends OptionSpecs, Req, Rep> = Omit<
  Given<S>,
  "requestCodec" | "replyCodec"
> & {
  /** Encodes and decodes a request as one frame. Default: raw frames. */
  readonly requestCodec?: Codec<Req> | undefined;
  /** Encodes and decodes a reply as one frame. Default: raw frames. */
  readonly replyCodec?: Codec<Rep> | undefined;
};

/** {@link Given} with required options. */
export type GivenWith<S extends OptionSpecs, K extends keyof S> = Omit<Given<S>, K> & {
  readonly [P in K]: Exclude<Settings<S>[P], undefined>;
};

/**
 * Checks options and adds defaults.
 * @param what owner for errors: a class, or `X.request`
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkOptions<S extends OptionSpecs>(what: string, specs: S, given: object): Settings<S> {
  checkKeys(what, given, Object.keys(specs));
  const settings: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const value = (given as Record<string, unknown>)[name];
    if (value === undefined) settings[name] = spec.default;
    else if (spec.accepts(value)) settings[name] = value;
    else throw invalidArgument(`Option ${name} of ${what} must be ${spec.expected}`, value);
  }
  return settings as Settings<S>;
}

/** Flags and configuration files take the range and default of an option from its row. */
export interface IntegerRange {
  readonly default?: number | undefined;
  readonly min?: number;
  readonly max?: number;
}

export type IntegerOption<T> = OptionSpec<T> & Required<Pick<IntegerRange, "min" | "max">>;

/** An integer. Default `min` 1, `max` 2,147,483,647. */
export function integer(range: IntegerRange & { readonly default: number }): IntegerOption<number>;
export function integer(range?: IntegerRange): IntegerOption<number | undefined>;
export function integer(range: IntegerRange = {}): IntegerOption<number | undefined> {
  const { default: standard, min = 1, max = INT32 } = range;
  return {
    default: standard,
    min,
    max,
    expected: `a whole number from ${min} to ${max}`,
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

/** A byte count up to the largest safe integer. */
export function bytes(range: { readonly default: number; readonly min?: number }): IntegerOption<number> {
  return integer({ ...range, max: Number.MAX_SAFE_INTEGER });
}

export function boolean(standard: boolean): OptionSpec<boolean> {
  return { default: standard, expected: "true or false", accepts: (value) => typeof value === "boolean" };
}

export function choice<const T extends string | number>(values: readonly T[], standard: T): OptionSpec<T>;
export function choice<const T extends string | number>(values: readonly T[]): OptionSpec<T | undefined>;
export function choice<const T extends string | number>(
  values: readonly T[],
  standard?: T,
): OptionSpec<T | undefined> {
  const shown = values.map((value) => JSON.stringify(value));
  return {
    default: standard,
    expected:
      shown.length === 1 ? (shown[0] as string) : `${shown.slice(0, -1).join(", ")} or ${shown.at(-1)}`,
    accepts: (value) => values.includes(value as T),
  };
}

/** A non-empty string. */
export function text(): OptionSpec<string | undefined> {
  return {
    default: undefined,
    expected: "a text that is not empty",
    accepts: (value) => typeof value === "string" && value !== "",
  };
}

export function func<T extends (...parameters: never[]) => unknown>(): OptionSpec<T | undefined> {
  return { default: undefined, expected: "a function", accepts: (value) => typeof value === "function" };
}

/** Checked elsewhere, such as socket options. @param own keys that the owner sets itself */
export function object<T extends object>(own: readonly string[] = []): OptionSpec<T | undefined> {
  return {
    default: undefined,
    expected: own.length === 0 ? "an object" : `an object without ${own.join(", ")}`,
    accepts: (value) =>
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      !own.some((key) => key in value),
  };
}

/** An object with these methods, checked no further. @param expected such as "a store, an object" */
export function methods<T extends object>(
  expected: string,
  names: readonly (keyof T & string)[],
): OptionSpec<T | undefined> {
  const isObject = object().accepts;
  return {
    default: undefined,
    expected: `${expected} with the methods ${names.join(", ")}`,
    accepts: (value) => isObject(value) && names.every((name) => typeof (value as T)[name] === "function"),
  };
}

export function codec<T = never>(): OptionSpec<Codec<T> | undefined> {
  return methods<Codec<T>>("a codec, such as json() gives: an object", ["encode", "decode"]);
}

/** Checked elsewhere, such as a clock. */
export function anything<T>(): OptionSpec<T | undefined> {
  return { default: undefined, expected: "anything", accepts: () => true };
}

/**
 * Checks an endpoint's syntax; the socket checks its transport.
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkEndpoint(name: string, value: unknown, use: "bind" | "connect" = "connect"): string {
  return endpointOf(`Option ${name} must be an endpoint`, value, use);
}

function endpointOf(expected: string, value: unknown, use: "bind" | "connect"): string {
  const scheme = typeof value === "string" ? /^([^:]+):\/\//.exec(value)?.[1] : undefined;
  if (typeof value !== "string" || scheme === undefined)
    throw invalidArgument(`${expected} such as "tcp://127.0.0.1:5555"`, value);
  checkForm(value, use, [scheme]);
  return value;
}

/** @throws InvalidArgumentError `EINVAL` for an empty list or an invalid endpoint */
export function checkEndpoints(name: string, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw new InvalidArgumentError(`${name} must have one endpoint or more; got none`);
  return list.map((endpoint) => endpointOf(`${name} must have endpoints`, endpoint, "connect"));
}

/** @throws InvalidArgumentError `EINVAL` unless a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw invalidArgument(`Option ${name} must be a function`, value);
}

/** Gate of a request server that serves only at times (patterns/binary-star/gate.ts). */
export interface ServerGate {
  /**
   * @param votes whether it is a request: only requests count as client votes
   * @returns whether to serve it now; if not, the gate keeps or drops it
   */
  admit(message: Buffer[], votes: boolean): boolean;
  /** Whether answers may be sent. */
  isServing(): boolean;
  /** @param serve receives kept messages that are now to be served */
  passTo(serve: (message: Buffer[]) => void): void;
}

/** Gate of a publisher. It keeps nothing: subscribers of both servers get what the active one publishes. */
export interface PublisherGate {
  isServing(): boolean;
  /**
   * Reports a connected subscriber, a client vote.
   * @returns whether to serve now
   */
  vote(): boolean;
  /** @param listener called each time this server becomes active */
  onServing(listener: () => void): void;
}

const EXPECTED = "a BinaryStarGate, or an object";

export function serverGate(): OptionSpec<ServerGate | undefined> {
  return methods<ServerGate>(EXPECTED, ["admit", "isServing", "passTo"]);
}

export function publisherGate(): OptionSpec<PublisherGate | undefined> {
  return methods<PublisherGate>(EXPECTED, ["isServing", "vote", "onServing"]);
}
