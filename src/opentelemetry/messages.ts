/**
 * Spans of cluster and session messages, and of their handlers.
 *
 *   publish ── one span, the producer ── its context, with each copy ──> process ── a span at each subscription: the producer's child,
 *                                                                                  with a link to it
 *
 * The store keeps a session message's producer context, which links the client's receive at any later time.
 */
import { type Context, context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type { MessageSendOperation, MessageSystem, ObservedMessage } from "../core/message-operations.js";
import { decodeContext, encodeContext } from "../core/trace-context.js";
import { extracted, injected, spanContextOf } from "./carrier.js";
import {
  MESSAGING_MESSAGE_BODY_SIZE,
  MESSAGING_SUBSCRIPTION,
  SHOAL_CLUSTER_SENDER,
  SHOAL_SERVICE_SYSTEM,
  SHOAL_SESSION_PUBLISHER,
} from "./conventions.js";
import { keepContext } from "./sockets.js";
import type { OperationName, Running, Telemetry } from "./telemetry.js";

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
  keepContext(message.message, running.remote ?? running.context, name);
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
