/**
 * Messages between the nodes of a cluster, and those of sessions, as spans: what is published and sent, and what handlers do with it.
 *
 *   publish ── one span, the producer ── its context, with each copy ──> process ── a span at each subscription: the producer's child,
 *                                                                                  with a link to it
 *
 * A session's message has its producer's context in the store: what its client receives is linked to the producer, however late.
 */
import { type Context, context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type {
  MessageProcessOperation,
  MessageSendOperation,
  MessageSystem,
  ObservedMessage,
} from "../core/message-operations.js";
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

/** The names of the calls in spans. */
const CALLS: Readonly<Record<MessageSendOperation["call"], OperationName>> = {
  publish: "publish",
  sendTo: "send",
  sendToNodes: "send",
  send: "send",
  query: "query",
};

/** Who sent a message. */
const SENDERS: Readonly<Record<MessageSystem, string>> = {
  cluster: SHOAL_CLUSTER_SENDER,
  sessions: SHOAL_SESSION_PUBLISHER,
};

/** A message is sent: its span, whose context goes with it. */
export function beginMessageSend(telemetry: Telemetry, operation: MessageSendOperation): Running {
  const { call, destination, bytes, system } = operation;
  const running = telemetry.begin(
    CALLS[call],
    destination,
    context.active(),
    { [SHOAL_SERVICE_SYSTEM]: system, [MESSAGING_MESSAGE_BODY_SIZE]: bytes },
    [],
    call === "publish" ? templateOf(destination) : undefined,
  );
  const headers = injected(running.context);
  if (headers !== undefined) operation.context = encodeContext(headers);
  return running;
}

/** A handler gets a message. */
export function beginMessageProcess(telemetry: Telemetry, operation: MessageProcessOperation): Running {
  return begin(telemetry, "process", operation.received);
}

/** A program reads a message. */
export function reportMessageReceive(telemetry: Telemetry, message: ObservedMessage): void {
  const running = begin(telemetry, "receive", message);
  const name = nameOf(telemetry, message) ?? message.destination;
  keepContext(message.message, running.remote ?? running.context, name);
  running.end(undefined);
}

/** A program acknowledges a message: where it handles one, that is a part of it. */
export function reportMessageAcknowledge(telemetry: Telemetry, message: ObservedMessage): void {
  const active = context.active();
  begin(telemetry, "acknowledge", message, trace.getSpan(active) === undefined ? undefined : active).end(
    undefined,
  );
}

/** @param parent default: the producer */
function begin(
  telemetry: Telemetry,
  name: "process" | "receive" | "acknowledge",
  message: ObservedMessage,
  parent?: Context,
): Running & { readonly remote: ReturnType<typeof extracted> } {
  const { system, destination, filter, sender, bytes, context: came } = message;
  // What is active here belongs to what had the link read.
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

/** What stands for its topic in names; `undefined`: a destination of few. */
function nameOf(telemetry: Telemetry, { system, filter, destination }: ObservedMessage): string | undefined {
  // A server of sessions subscribes to the filters of its clients, and has the topics that they publish.
  if (filter !== "") return telemetry.boundedTemplate(filter);
  return system === "sessions" ? telemetry.boundedTemplate(templateOf(destination)) : undefined;
}

/** Topics are many; their first levels are few, as a rule. */
function templateOf(topic: string): string {
  const end = topic.indexOf("/");
  return end === -1 ? topic : `${topic.slice(0, end)}/#`;
}
