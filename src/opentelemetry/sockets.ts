/** Which sockets are traced, and what a program does with their messages. */
import { type Context, context } from "@opentelemetry/api";
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { Socket } from "../sockets/socket.js";
import { activeTelemetry } from "./telemetry.js";

/** Characters of a socket's name. */
export const MAX_TRACED_NAME = 128;

/** Names of the sockets that are traced. */
const traced = new WeakMap<object, string>();
interface Received {
  readonly context: Context;
  /** The socket's name. */
  readonly destination: string;
}

/** What is known of messages that were received, by the message: as long as the program has it. */
const received = new WeakMap<object, Received>();

let isAnyTraced = false;
let onTraced: (() => void) | undefined;

/** Calls a listener as soon as some socket is traced: now, where one is. @param listener undefined: none */
export function onFirstTraced(listener: (() => void) | undefined): void {
  onTraced = isAnyTraced ? undefined : listener;
  if (isAnyTraced) listener?.();
}

/** @returns the name that the program gave a socket; `undefined`: it is not traced */
export function tracedName(socket: object): string | undefined {
  return traced.get(socket);
}

/** Keeps the context of a message for {@link contextOf}. */
export function keepContext(message: unknown, of: Context, destination: string): void {
  if (typeof message === "object" && message !== null) received.set(message, { context: of, destination });
}

/**
 * Has the messages of a socket reported while an instrumentation is on: a span for each send and each receive. ZMTP has no
 * headers: where both ends are to be one trace, the program sends its context as a frame (docs/tracing.md).
 *
 * @param name the destination in spans and metrics, 1 to 128 characters: one of few, such as "orders"
 * @returns the socket
 * @throws InvalidArgumentError `EINVAL` for what is not a socket or an invalid name
 */
export function traceSocket<S extends Socket>(socket: S, name: string): S {
  if (!(socket instanceof Socket))
    throw new InvalidArgumentError(`traceSocket takes a socket; got ${describe(socket)}`);
  if (typeof name !== "string" || name === "" || name.length > MAX_TRACED_NAME)
    throw new InvalidArgumentError(
      `the name of a traced socket is a text of 1 to ${MAX_TRACED_NAME} characters; got ${describe(name)}`,
    );
  traced.set(socket, name);
  isAnyTraced = true;
  onTraced?.();
  onTraced = undefined;
  return socket;
}

/**
 * The context of a message that a traced socket received, or a node or a session: what its sender sent with it, else that of its own span.
 *
 * @param message as `receive` gave it
 * @returns `undefined` for any other value, and for messages that came while no instrumentation was on
 */
export function contextOf(message: unknown): Context | undefined {
  return receivedOf(message)?.context;
}

function receivedOf(message: unknown): Received | undefined {
  return typeof message === "object" && message !== null ? received.get(message) : undefined;
}

/**
 * Calls a function that handles a message, within a span that is a child of what {@link contextOf} gives: what it sends and asks is a part of
 * the same trace. Without an instrumentation, and for a message that was not traced, it is only called.
 *
 * @param message as `receive` of a traced socket gave it
 * @returns what the function returns; the span ends when that settles
 */
export function processMessage<M, R>(message: M, handle: (message: M) => R): R {
  const telemetry = activeTelemetry();
  const known = receivedOf(message);
  if (telemetry === undefined || known === undefined) return handle(message);
  const running = telemetry.begin("process", known.destination, known.context, {});
  let result: R;
  try {
    result = context.with(running.context, handle, undefined, message);
  } catch (error) {
    running.end(error ?? new Error("nothing was thrown"));
    throw error;
  }
  if (isPromise(result))
    return result.then(
      (value) => {
        running.end(undefined);
        return value;
      },
      (error: unknown) => {
        running.end(error ?? new Error("it was rejected without an error"));
        throw error;
      },
    ) as R;
  running.end(undefined);
  return result;
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Partial<Promise<unknown>> | null | undefined)?.then === "function";
}
