/**
 * What programs may observe through `node:diagnostics_channel`: each message that a socket sends or receives, and each request
 * to a service, on both sides (docs/tracing.md has the names).
 *
 *   start is published ──> a subscriber adds headers, stands around the handler ──> it runs ──> end is published, once
 *
 * While nobody subscribes a call costs the question whether somebody does. A subscriber that throws is the program's own
 * uncaught exception, in a later turn: it never comes out of a call of the library.
 */
import { type Channel, channel } from "node:diagnostics_channel";
import { ClosedError } from "./errors.js";

/** Names of the channels: shoal.OPERATION.start and shoal.OPERATION.end, and those of one moment: shoal.receive, shoal.message.receive, shoal.message.acknowledge, shoal.message.traced. */
export const SEND_START: Channel = channel("shoal.send.start");
export const SEND_END: Channel = channel("shoal.send.end");
export const RECEIVE: Channel = channel("shoal.receive");
export const REQUEST_START: Channel = channel("shoal.request.start");
export const REQUEST_END: Channel = channel("shoal.request.end");
export const PROCESS_START: Channel = channel("shoal.process.start");
export const PROCESS_END: Channel = channel("shoal.process.end");
/** Of messages between the nodes of a cluster (message-operations.ts). */
export const MESSAGE_SEND_START: Channel = channel("shoal.message.send.start");
export const MESSAGE_SEND_END: Channel = channel("shoal.message.send.end");
export const MESSAGE_PROCESS_START: Channel = channel("shoal.message.process.start");
export const MESSAGE_PROCESS_END: Channel = channel("shoal.message.process.end");
export const MESSAGE_RECEIVE: Channel = channel("shoal.message.receive");
/** Of messages of sessions. */
export const MESSAGE_ACKNOWLEDGE: Channel = channel("shoal.message.acknowledge");
/** The starts of the handlers, and what is received, of those messages alone that came with a context. */
export const MESSAGE_TRACED: Channel = channel("shoal.message.traced");

/** Stands around what an operation does: it calls `run`, and gives what that returns. */
export type Wrapper = <T>(run: () => T) => T;

/** Something that begins and ends: the same object is published at both. */
export class Operation {
  /** Why it failed; undefined: it has not, or not yet. */
  error: unknown = undefined;
  readonly #end: Channel;
  #wrapper: Wrapper | undefined = undefined;
  #isOver = false;
  #whenOver: ((operation: Operation) => void) | undefined = undefined;

  /** @internal */
  constructor(end: Channel) {
    this.#end = end;
  }

  /** For a subscriber of `start`: what the operation calls is called within `wrapper`, the last one outermost. */
  wrap(wrapper: Wrapper): void {
    const inner = this.#wrapper;
    this.#wrapper = inner === undefined ? wrapper : (run) => wrapper(() => inner(run));
  }

  /** Calls at its end, whether anybody subscribes to that or not; the last one that is given. @internal */
  whenOver(listener: (operation: Operation) => void): void {
    this.#whenOver = listener;
  }

  /** @internal */
  run<T>(run: () => T): T {
    return this.#wrapper === undefined ? run() : this.#wrapper(run);
  }

  /** Each step of an iteration within the wrapper. @internal */
  runEach<T>(parts: AsyncIterable<T>): AsyncGenerator<T, unknown, undefined> {
    const iterator = parts[Symbol.asyncIterator]();
    const steps: Omit<AsyncGenerator<T, unknown, undefined>, typeof Symbol.asyncDispose> = {
      next: async () => this.run(() => iterator.next()),
      return: async (value) =>
        iterator.return === undefined
          ? { done: true, value: await value }
          : this.run(() => iterator.return?.(value) as Promise<IteratorResult<T>>),
      throw: async (error) => {
        if (iterator.throw === undefined) throw error;
        return this.run(() => iterator.throw?.(error) as Promise<IteratorResult<T>>);
      },
      [Symbol.asyncIterator]: () => steps as AsyncGenerator<T, unknown, undefined>,
    };
    return steps as AsyncGenerator<T, unknown, undefined>;
  }

  /** Publishes its end; further calls do nothing. @internal */
  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.error = error;
    this.#whenOver?.(this);
    if (this.#end.hasSubscribers) this.#end.publish(this);
  }

  /**
   * Publishes its end when a promise settles.
   *
   * @returns one that settles as that does, and is an unhandled rejection where that would be: closing causes none
   * @internal
   */
  endWith<T>(promise: Promise<T>): Promise<T> {
    const observed = promise.then(
      (value) => {
        this.end();
        return value;
      },
      (error: unknown) => {
        this.end(error ?? new Error("it was rejected without an error"));
        // Closing causes no unhandled rejection: its caller has it.
        if (error instanceof ClosedError) observed.catch(() => undefined);
        throw error;
      },
    );
    return observed;
  }
}

/** Which part of the library has a service. */
export type ServiceSystem = "cluster" | "majordomo";

/** A request that a program makes, until its reply is complete. Retries are the same request. */
export class RequestOperation extends Operation {
  readonly system: ServiceSystem;
  readonly service: string;
  /** The method of a contract; "": none. */
  readonly method: string;
  /** Whether its reply comes in parts. */
  readonly isStream: boolean;
  /** What the program gives the handler. */
  readonly headers: Readonly<Record<string, string>>;
  #added: Record<string, string> | undefined = undefined;

  /** @internal */
  constructor(
    system: ServiceSystem,
    service: string,
    method: string,
    isStream: boolean,
    headers: Readonly<Record<string, string>> | undefined,
  ) {
    super(REQUEST_END);
    this.system = system;
    this.service = service;
    this.method = method;
    this.isStream = isStream;
    this.headers = headers ?? NO_HEADERS;
  }

  /** For a subscriber of `start`: a header for the handler, unless the program gives one of this name. */
  setHeader(name: string, value: string): void {
    if (Object.hasOwn(this.headers, name)) return;
    this.#added ??= Object.create(null) as Record<string, string>;
    this.#added[name] = value;
  }

  /** What subscribers have set. @internal */
  get added(): Readonly<Record<string, string>> | undefined {
    return this.#added;
  }
}

/** A request that a handler has, until its reply has been made: complete, where it comes in parts. */
export class ProcessOperation extends Operation {
  readonly system: ServiceSystem;
  readonly service: string;
  /** The method of a contract; "": none. */
  readonly method: string;
  /** What came with the request: texts of a remote program. */
  readonly headers: Readonly<Record<string, string>>;

  /** @internal */
  constructor(
    system: ServiceSystem,
    service: string,
    method: string,
    headers: Readonly<Record<string, string>>,
  ) {
    super(PROCESS_END);
    this.system = system;
    this.service = service;
    this.method = method;
    this.headers = headers;
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/** Publishes a request's start. @returns `undefined` when nobody subscribes */
export function startRequest(
  system: ServiceSystem,
  service: string,
  method: string,
  isStream: boolean,
  headers: Readonly<Record<string, string>> | undefined,
): RequestOperation | undefined {
  if (!REQUEST_START.hasSubscribers && !REQUEST_END.hasSubscribers) return undefined;
  const operation = new RequestOperation(system, service, method, isStream, headers);
  REQUEST_START.publish(operation);
  return operation;
}

/** What a program reads of a reply in parts: its end, or that nobody reads on, ends the operation. */
export function endedWith<T>(
  parts: AsyncIterableIterator<T, undefined>,
  operation: Operation,
): AsyncIterableIterator<T, undefined> {
  const step = async (
    call: () => Promise<IteratorResult<T, undefined>>,
  ): Promise<IteratorResult<T, undefined>> => {
    try {
      const result = await call();
      if (result.done === true) operation.end();
      return result;
    } catch (error) {
      operation.end(error);
      throw error;
    }
  };
  const observed: AsyncIterableIterator<T, undefined> = {
    next: () => step(() => parts.next()),
    return: () => step(async () => (await parts.return?.()) ?? { done: true, value: undefined }),
    [Symbol.asyncIterator]: () => observed,
  };
  return observed;
}

/** Whether anybody observes what handlers do. */
export function isProcessObserved(): boolean {
  return PROCESS_START.hasSubscribers || PROCESS_END.hasSubscribers;
}

/** Publishes that a handler is about to be called. */
export function startProcess(
  system: ServiceSystem,
  service: string,
  method: string,
  headers: Readonly<Record<string, string>>,
): ProcessOperation {
  const operation = new ProcessOperation(system, service, method, headers);
  PROCESS_START.publish(operation);
  return operation;
}

/** The program's headers and those of subscribers, which are left out where the bounds have no room for them. */
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
  // A value of another type is the program's mistake, which the check of its headers reports.
  for (const [name, value] of entries) bytes += Buffer.byteLength(name) + Buffer.byteLength(String(value));
  return entries.length > maxHeaders || bytes > maxBytes ? headers : all;
}
