/**
 * What the library shows of its work: operations published through `node:diagnostics_channel` (docs/tracing.md), and the
 * log of `NODE_DEBUG=shoal`. Pages have neither.
 *
 *   start is published ──> a subscriber adds headers and wraps the handler ──> it runs ──> end is published, once
 *
 * Without subscribers an operation costs one check. A subscriber's error becomes an uncaught exception.
 */
import { type Channel, channel } from "node:diagnostics_channel";
import { debuglog } from "node:util";
import { isThenable } from "./arguments.js";
import { ClosedError } from "./errors.js";
import { ignore } from "./waiter.js";

/** The channels of one kind of operation. */
export interface OperationChannels {
  readonly start: Channel;
  readonly end: Channel;
}

export const REQUEST = channelsOf("shoal.request");
export const PROCESS = channelsOf("shoal.process");
export const MESSAGE_SEND = channelsOf("shoal.message.send");
export const MESSAGE_PROCESS = channelsOf("shoal.message.process");
/** Single moments have one channel. */
export const MESSAGE_RECEIVE: Channel = channel("shoal.message.receive");
export const MESSAGE_ACKNOWLEDGE: Channel = channel("shoal.message.acknowledge");

function channelsOf(name: string): OperationChannels {
  return { start: channel(`${name}.start`), end: channel(`${name}.end`) };
}

export function isObserved({ start, end }: OperationChannels): boolean {
  return start.hasSubscribers || end.hasSubscribers;
}

export type Wrapper = <T>(run: () => T) => T;

export class Operation {
  error: unknown = undefined;
  readonly #end: Channel;
  #wrapper: Wrapper | undefined = undefined;
  #isOver = false;

  /** @internal */
  constructor(end: Channel) {
    this.#end = end;
  }

  /** Runs the operation inside `wrapper`. For a subscriber of `start`; later wrappers are outermost. */
  wrap(wrapper: Wrapper): void {
    const inner = this.#wrapper;
    this.#wrapper = inner === undefined ? wrapper : (run) => wrapper(() => inner(run));
  }

  /** @internal */
  run<T>(run: () => T): T {
    return this.#wrapper === undefined ? run() : this.#wrapper(run);
  }

  /** Runs each step inside the wrapper. @internal */
  runEach<T>(parts: AsyncIterable<T>): AsyncIterable<T> {
    const iterator = parts[Symbol.asyncIterator]();
    const steps: AsyncIterator<T> = {
      next: () => this.run(() => iterator.next()),
      return: async () =>
        this.run(() => iterator.return?.() ?? Promise.resolve({ done: true, value: undefined })),
    };
    return { [Symbol.asyncIterator]: () => steps };
  }

  /** Further calls do nothing. @internal */
  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.error = error;
    if (this.#end.hasSubscribers) this.#end.publish(this);
  }

  /** Runs the call, and ends with its result, error or promise. @internal */
  observe<T>(call: () => T): T {
    return observed(() => this.run(call), this.#settle);
  }

  /**
   * @param isLast whether the operation ends with this value; by default with any
   * @returns a promise with the same outcome; a ClosedError causes no unhandled rejection @internal
   */
  endWith<T>(promise: Promise<T>, isLast?: (value: T) => boolean): Promise<T> {
    return settled(promise, this.#settle, isLast);
  }

  /** The caller of `close` expects its error. */
  readonly #settle: Ending = (error, outcome) => {
    this.end(error);
    if (error instanceof ClosedError) outcome?.catch(ignore);
  };
}

/** @param error `undefined`: success @param outcome the rejected promise, if it was one */
type Ending = (error?: unknown, outcome?: Promise<unknown>) => void;

/** Calls `end` when the call, or the promise that it returns, has ended. @returns the same result, error or promise */
export function observed<T>(call: () => T, end: Ending): T {
  let result: T;
  try {
    result = call();
  } catch (error) {
    end(error ?? new Error("nothing was thrown"));
    throw error;
  }
  if (isThenable(result)) return settled(Promise.resolve(result), end) as T;
  end();
  return result;
}

function settled<T>(promise: Promise<T>, end: Ending, isLast?: (value: T) => boolean): Promise<T> {
  const outcome = promise.then(
    (value) => {
      if (isLast?.(value) !== false) end();
      return value;
    },
    (error: unknown) => {
      end(error ?? new Error("it was rejected without an error"), outcome);
      throw error;
    },
  );
  return outcome;
}

/** Starts an operation with these properties. */
export function begin<O extends Operation>(
  { start, end }: OperationChannels,
  properties: Omit<O, keyof Operation>,
): O {
  const operation = Object.assign(new Operation(end), properties) as unknown as O;
  start.publish(operation);
  return operation;
}

export type ServiceSystem = "cluster" | "majordomo";

/** Retries belong to the same request. */
export interface RequestOperation extends Operation {
  readonly system: ServiceSystem;
  readonly service: string;
  /** The method of a contract, or "". */
  readonly method: string;
  /** The reply is a stream of parts. */
  readonly isStream: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** Set by subscribers. @internal */
  added: Record<string, string> | undefined;
  /** Adds a header unless the program set it. For a subscriber of `start`. */
  setHeader(name: string, value: string): void;
}

export interface ProcessOperation extends Operation {
  readonly system: ServiceSystem;
  readonly service: string;
  /** The method of a contract, or "". */
  readonly method: string;
  /** As received; untrusted. */
  readonly headers: Readonly<Record<string, string>>;
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/** `undefined` without subscribers. */
export function startRequest(
  system: ServiceSystem,
  service: string,
  method: string,
  isStream: boolean,
  headers: Readonly<Record<string, string>> | undefined,
): RequestOperation | undefined {
  if (!isObserved(REQUEST)) return undefined;
  return begin<RequestOperation>(REQUEST, {
    ...{ system, service, method, isStream },
    headers: headers ?? NO_HEADERS,
    added: undefined,
    setHeader(this: RequestOperation, name, value) {
      if (Object.hasOwn(this.headers, name)) return;
      this.added ??= Object.create(null) as Record<string, string>;
      this.added[name] = value;
    },
  });
}

export function endedWith<T>(
  parts: AsyncIterableIterator<T, undefined>,
  operation: Operation,
): AsyncIterableIterator<T, undefined> {
  const end = async (): Promise<IteratorResult<T, undefined>> =>
    (await parts.return?.()) ?? { done: true, value: undefined };
  const isLast = ({ done }: IteratorResult<T, undefined>): boolean => done === true;
  const observed: AsyncIterableIterator<T, undefined> = {
    next: () => operation.endWith(parts.next(), isLast),
    return: () => operation.endWith(end(), isLast),
    [Symbol.asyncIterator]: () => observed,
  };
  return observed;
}

/** Keeps `headers` if the result would exceed the bounds. */
export function withAdded(
  headers: Readonly<Record<string, string>> | undefined,
  added: Readonly<Record<string, string>> | undefined,
  maxHeaders: number,
  maxBytes: number,
): Readonly<Record<string, string>> | undefined {
  if (added === undefined || (headers !== undefined && typeof headers !== "object")) return headers;
  const all = { ...added, ...headers };
  const entries = Object.entries(all);
  let bytes = 0;
  // The later header check reports values of other types.
  for (const [name, value] of entries) bytes += Buffer.byteLength(name) + Buffer.byteLength(String(value));
  return entries.length > maxHeaders || bytes > maxBytes ? headers : all;
}

/** Remote programs may have written part of a line: `%j` escapes it. */
export const DEBUG = debuglog("shoal");

export const IS_DEBUG: boolean = DEBUG.enabled;
