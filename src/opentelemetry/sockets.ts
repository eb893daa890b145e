/** Traced sockets and their messages. */
import { type Context, context } from "@opentelemetry/api";
import { invalidArgument } from "../core/arguments.js";
import { observed } from "../core/diagnostics.js";
import { Socket } from "../sockets/socket.js";
import { activeTelemetry } from "./telemetry.js";

/** Characters of a name. */
const MAX_TRACED_NAME = 128;

const traced = new WeakMap<object, string>();
interface Received {
  readonly context: Context;
  readonly destination: string;
}

/** Kept while the program holds the message. */
const received = new WeakMap<object, Received>();

let isAnyTraced = false;
let onTraced: (() => void) | undefined;

/** Called now if a socket is traced already. */
export function onFirstTraced(listener: (() => void) | undefined): void {
  onTraced = isAnyTraced ? undefined : listener;
  if (isAnyTraced) listener?.();
}

export function tracedName(socket: object): string | undefined {
  return traced.get(socket);
}

export function keepContext(message: unknown, of: Context, destination: string): void {
  if (typeof message === "object" && message !== null) received.set(message, { context: of, destination });
}

/**
 * Reports a span for each send and receive of a socket during an instrumentation. ZMTP has no headers: send the context
 * as a frame to join both ends (docs/tracing.md).
 *
 * @param name low-cardinality destination in spans and metrics, 1 to 128 characters, such as "orders"
 * @returns the socket
 * @throws InvalidArgumentError `EINVAL` for anything but a socket, or an invalid name
 */
export function traceSocket<S extends Socket>(socket: S, name: string): S {
  if (!(socket instanceof Socket)) throw invalidArgument("traceSocket must be given a socket", socket);
  if (typeof name !== "string" || name === "" || name.length > MAX_TRACED_NAME)
    throw invalidArgument(
      `the name of a traced socket must be a text of 1 to ${MAX_TRACED_NAME} characters`,
      name,
    );
  traced.set(socket, name);
  isAnyTraced = true;
  onTraced?.();
  onTraced = undefined;
  return socket;
}

/**
 * Trace context of a message received by a traced socket, a node or a session: its sender's, else its receive span's.
 *
 * @param message as returned by `receive`
 * @returns `undefined` for other values, and messages received without an instrumentation
 */
export function contextOf(message: unknown): Context | undefined {
  return receivedOf(message)?.context;
}

function receivedOf(message: unknown): Received | undefined {
  return typeof message === "object" && message !== null ? received.get(message) : undefined;
}

/**
 * Calls a message handler within a span, a child of {@link contextOf}'s context, which its sends and requests join.
 * Without an instrumentation, or for an untraced message, only calls the handler.
 *
 * @param message as a traced socket's `receive` returns it
 * @returns the handler's result; the span ends when it settles
 */
export function processMessage<M, R>(message: M, handle: (message: M) => R): R {
  const telemetry = activeTelemetry();
  const known = receivedOf(message);
  if (telemetry === undefined || known === undefined) return handle(message);
  const running = telemetry.begin("process", known.destination, known.context, {});
  return observed(
    () => context.with(running.context, handle, undefined, message),
    (error) => running.end(error),
  );
}
