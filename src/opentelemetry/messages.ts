/**
 * Spans of messages and their handlers: of clusters and of sessions.
 *
 *   publish ── one span, the producer ── its context, with each copy ──> process ── a span at each subscription: the producer's child,
 *                                                                                  with a link to it
 *
 * The store keeps a session message's producer context, which links the client's receive at any later time.
 */
import { type Context, context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { observed } from "../core/diagnostics.js";
import {
  decodeContext,
  encodeContext,
  type MessageSendOperation,
  type MessageSystem,
  type ObservedMessage,
} from "../core/message-operations.js";
import {
  MESSAGING_MESSAGE_BODY_SIZE,
  MESSAGING_SUBSCRIPTION,
  SHOAL_CLUSTER_SENDER,
  SHOAL_SERVICE_SYSTEM,
  SHOAL_SESSION_PUBLISHER,
} from "./conventions.js";
import {
  activeTelemetry,
  extracted,
  injected,
  type OperationName,
  type Running,
  spanContextOf,
  type Telemetry,
} from "./telemetry.js";

const CALLS: Readonly<Record<MessageSendOperation["call"], OperationName>> = {
  publish: "publish",
  sendTo: "send",
  sendToNodes: "send",
  send: "send",
  query: "query",
};

const SENDERS: Readonly<Record<MessageSystem, string>> = {
  cluster: SHOAL_CLUSTER_SENDER,
  sessions: SHOAL_SESSION_PUBLISHER,
};

interface Received {
  readonly context: Context;
  readonly destination: string;
}

/** Kept while the program holds the message. */
const received = new WeakMap<object, Received>();

/**
 * Trace context of a message received by a node or a session: its sender's, else its receive span's.
 *
 * @param message as returned by `receive`
 * @returns `undefined` for other values, and messages received without an instrumentation
 */
export function contextOf(message: unknown): Context | undefined {
  return received.get(message as object)?.context;
}

/**
 * Calls a message handler within a span, a child of {@link contextOf}'s context, which its sends and requests join.
 * Without an instrumentation, or for an untraced message, only calls the handler.
 *
 * @param message as a subscription's or a session's `receive` returns it
 * @returns the handler's result; the span ends when it settles
 */
export function processMessage<M, R>(message: M, handle: (message: M) => R): R {
  const telemetry = activeTelemetry();
  const known = received.get(message as object);
  if (telemetry === undefined || known === undefined) return handle(message);
  const running = telemetry.begin("process", known.destination, known.context, {});
  return observed(
    () => context.with(running.context, handle, undefined, message),
    (error) => running.end(error),
  );
}

/** Attaches the span's context to the message. */
export function beginMessageSend(telemetry: Telemetry, operation: MessageSendOperation): Running {
  const { call, destination, bytes, system } = operation;
  const running = telemetry.begin(
    CALLS[call],
    destination,
    context.active(),
    { [SHOAL_SERVICE_SYSTEM]: system, [MESSAGING_MESSAGE_BODY_SIZE]: bytes },
    [],
    call === "publish" ? telemetry.boundedTemplate(templateOf(destination)) : undefined,
  );
  const headers = injected(running.context);
  if (headers !== undefined) operation.context = encodeContext(headers);
  return running;
}

export function reportMessageReceive(telemetry: Telemetry, message: ObservedMessage): void {
  const running = beginReceived(telemetry, "receive", message);
  const name = nameOf(telemetry, message) ?? message.destination;
  if (typeof message.message === "object" && message.message !== null)
    received.set(message.message, { context: running.remote ?? running.context, destination: name });
  running.end(undefined);
}

export function reportMessageAcknowledge(telemetry: Telemetry, message: ObservedMessage): void {
  const active = context.active();
  const parent = trace.getSpan(active) === undefined ? undefined : active;
  beginReceived(telemetry, "acknowledge", message, parent).end(undefined);
}

/** @param parent default: the producer */
export function beginReceived(
  telemetry: Telemetry,
  name: "process" | "receive" | "acknowledge",
  message: ObservedMessage,
  parent?: Context,
): Running & { readonly remote: ReturnType<typeof extracted> } {
  const { system, destination, filter, sender, bytes, context: came } = message;
  // The active context belongs to the code that triggered the read.
  const remote = came === undefined ? undefined : extracted(decodeContext(came));
  const producer = spanContextOf(remote);
  const running = telemetry.begin(
    name,
    destination,
    parent ?? remote ?? ROOT_CONTEXT,
    {
      [SHOAL_SERVICE_SYSTEM]: system,
      ...(sender !== "" && { [SENDERS[system]]: sender }),
      [MESSAGING_MESSAGE_BODY_SIZE]: bytes,
      ...(filter !== "" && { [MESSAGING_SUBSCRIPTION]: filter }),
    },
    producer === undefined ? [] : [{ context: producer }],
    nameOf(telemetry, message),
  );
  return { ...running, remote };
}

/** The topic's template; `undefined` for a low-cardinality destination. */
function nameOf(telemetry: Telemetry, { system, filter, destination }: ObservedMessage): string | undefined {
  // A session server subscribes to its clients' filters.
  if (filter !== "") return telemetry.boundedTemplate(filter);
  return system === "sessions" ? telemetry.boundedTemplate(templateOf(destination)) : undefined;
}

/** Topics have many values, their first levels usually few. */
function templateOf(topic: string): string {
  const end = topic.indexOf("/");
  return end === -1 ? topic : `${topic.slice(0, end)}/#`;
}
