/**
 * Messages between the nodes of a cluster as spans: what is published and sent, and what handlers do with it.
 *
 *   publish ── one span, the producer ── its context, with each copy ──> process ── a span at each subscription: the producer's child,
 *                                                                                  with a link to it
 */
import { context, ROOT_CONTEXT } from "@opentelemetry/api";
import type {
  MessageProcessOperation,
  MessageSendOperation,
  ObservedMessage,
} from "../core/message-operations.js";
import { decodeContext, encodeContext } from "../core/trace-context.js";
import { extracted, injected, spanContextOf } from "./carrier.js";
import {
  MESSAGING_MESSAGE_BODY_SIZE,
  MESSAGING_SUBSCRIPTION,
  SHOAL_CLUSTER_SENDER,
  SHOAL_SERVICE_SYSTEM,
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

/** A message is sent: its span, whose context goes with it. */
export function beginMessageSend(telemetry: Telemetry, operation: MessageSendOperation): Running {
  const { call, destination, bytes } = operation;
  const running = telemetry.begin(
    CALLS[call],
    destination,
    context.active(),
    { [SHOAL_SERVICE_SYSTEM]: "cluster", [MESSAGING_MESSAGE_BODY_SIZE]: bytes },
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
  keepContext(message.message, running.remote ?? running.context, message.filter);
  running.end(undefined);
}

function begin(
  telemetry: Telemetry,
  name: "process" | "receive",
  { destination, filter, sender, bytes, context: came }: ObservedMessage,
): Running & { readonly remote: ReturnType<typeof extracted> } {
  // What is active here belongs to what had the link read.
  const remote = came === undefined ? undefined : extracted(decodeContext(came));
  const producer = spanContextOf(remote);
  const running = telemetry.begin(
    name,
    destination,
    remote ?? ROOT_CONTEXT,
    {
      [SHOAL_SERVICE_SYSTEM]: "cluster",
      [SHOAL_CLUSTER_SENDER]: sender,
      [MESSAGING_MESSAGE_BODY_SIZE]: bytes,
      ...(filter !== "" && { [MESSAGING_SUBSCRIPTION]: filter }),
    },
    producer === undefined ? [] : [{ context: producer }],
    filter === "" ? undefined : filter,
  );
  return { ...running, remote };
}

/** Topics are many; their first levels are few. */
function templateOf(topic: string): string {
  const end = topic.indexOf("/");
  return end === -1 ? topic : `${topic.slice(0, end)}/#`;
}
