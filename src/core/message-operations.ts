/**
 * What messages between the nodes of a cluster, and those of sessions, publish of themselves (diagnostics.ts), and the
 * contexts of traces that go with them.
 *
 *   publish, sendTo, send, query ── start: a subscriber sets a context ── item with it, to nodes that take contexts ── end
 *   item with a context ── kept with the message ── start ── handler ── end; or receive, where the program reads it
 *
 * While nobody subscribes, a message costs the question whether somebody does, at each end.
 */
import { isBytes } from "./bytes.js";
import {
  MESSAGE_ACKNOWLEDGE,
  MESSAGE_PROCESS_END,
  MESSAGE_PROCESS_START,
  MESSAGE_RECEIVE,
  MESSAGE_SEND_END,
  MESSAGE_SEND_START,
  MESSAGE_TRACED,
  Operation,
} from "./diagnostics.js";
import { MAX_CONTEXT_BYTES } from "./trace-context.js";

/** The call of the program that sends a message. */
export type MessageCall = "publish" | "sendTo" | "sendToNodes" | "send" | "query";

/** Which part of the library has a message. */
export type MessageSystem = "cluster" | "sessions";

/** What handles a message: that of a subscription, of messages to services, or of queries; a server that keeps what a session's client publishes. */
export type MessageHandlerKind = "subscription" | "message" | "query" | "publication";

/** Whether anybody observes what is sent: asked with each message. */
export function isMessageSendObserved(): boolean {
  return MESSAGE_SEND_START.hasSubscribers || MESSAGE_SEND_END.hasSubscribers;
}

/** The same of what handlers get. */
export function isMessageProcessObserved(): boolean {
  return MESSAGE_PROCESS_START.hasSubscribers || MESSAGE_PROCESS_END.hasSubscribers;
}

/** The same of what programs read of a subscription without a handler. */
export function isMessageReceiveObserved(): boolean {
  return MESSAGE_RECEIVE.hasSubscribers;
}

/** The same of messages of sessions that programs acknowledge. */
export function isMessageAcknowledgeObserved(): boolean {
  return MESSAGE_ACKNOWLEDGE.hasSubscribers;
}

/** Whether anybody observes messages that came with a context, which are few. */
export function isMessageTraced(): boolean {
  return MESSAGE_TRACED.hasSubscribers;
}

/**
 * A message that a program sends to other nodes: until the links have it; a message to one client until that has it; a query until it ends;
 * a publication of a session's client until the store has it.
 */
export class MessageSendOperation extends Operation {
  readonly system: MessageSystem;
  readonly call: MessageCall;
  /** The topic; "self" of a one-to-one message; "channel/N" or "channel/NAME" of what goes to services. */
  readonly destination: string;
  /** Bytes of its data. */
  readonly bytes: number;
  /** At the end: nodes that it went to, this one among them where it has subscriptions; of a query, services that answered; sessions that keep it. */
  recipients = 0;
  /** For a subscriber of `start`: what goes with the message to nodes that take contexts, 1,024 bytes at most. */
  context: Uint8Array | undefined = undefined;

  /** @internal */
  constructor(call: MessageCall, destination: string, bytes: number, system: MessageSystem) {
    super(MESSAGE_SEND_END);
    this.system = system;
    this.call = call;
    this.destination = destination;
    this.bytes = bytes;
  }
}

/** What is known of a message that came. */
export interface ObservedMessage {
  readonly system: MessageSystem;
  /** As in {@link MessageSendOperation}. */
  readonly destination: string;
  /** The filter of the subscription; "" of what came to a service, and of sessions. */
  readonly filter: string;
  /** The id of the node that sent it, or of the session; "": a session's message that a node has published. */
  readonly sender: string;
  /** Bytes of its data. */
  readonly bytes: number;
  /** What the program gets. */
  readonly message: unknown;
  /** What came with it: bytes of a remote program, 1,024 at most. */
  readonly context: Uint8Array | undefined;
}

/** A message that a handler has, until it returns or its promise settles. */
export class MessageProcessOperation extends Operation {
  readonly handler: MessageHandlerKind;
  readonly received: ObservedMessage;

  /** @internal */
  constructor(handler: MessageHandlerKind, received: ObservedMessage) {
    super(MESSAGE_PROCESS_END);
    this.handler = handler;
    this.received = received;
  }
}

/** Where a message to services goes, as operations name it. */
export function channelDestination(channel: unknown): string {
  return typeof channel === "number" || typeof channel === "string" ? `channel/${channel}` : "channel";
}

/** Bytes of data; 0 for what is none, which the call refuses. */
export function observedBytes(data: unknown): number {
  return typeof data === "string" ? Buffer.byteLength(data) : isBytes(data) ? data.length : 0;
}

/** Publishes that a message is about to be sent. */
export function startMessageSend(
  call: MessageCall,
  destination: unknown,
  data: unknown,
  system: MessageSystem = "cluster",
): MessageSendOperation {
  const operation = new MessageSendOperation(
    call,
    typeof destination === "string" ? destination : "",
    observedBytes(data),
    system,
  );
  MESSAGE_SEND_START.publish(operation);
  return operation;
}

/** What a subscriber has set, as bytes that nobody changes; `undefined`: nothing that can be sent. */
export function contextToSend({ context }: MessageSendOperation): Buffer | undefined {
  return isBytes(context) && context.length > 0 && context.length <= MAX_CONTEXT_BYTES
    ? Buffer.from(context)
    : undefined;
}

/** Sends a message that is observed. @param recipients how many a result means */
export function observeMessageSend<T>(
  call: MessageCall,
  destination: unknown,
  data: unknown,
  send: (context: Buffer | undefined) => Promise<T>,
  recipients: (result: T) => number,
  system?: MessageSystem,
): Promise<T> {
  const operation = startMessageSend(call, destination, data, system);
  const sent = operation.run(() => send(contextToSend(operation)));
  return operation.endWith(
    sent.then((result) => {
      operation.recipients = recipients(result);
      return result;
    }),
  );
}

/** Publishes that a message is about to be handled. */
export function startMessageProcess(
  handler: MessageHandlerKind,
  received: ObservedMessage,
): MessageProcessOperation {
  const operation = new MessageProcessOperation(handler, received);
  MESSAGE_PROCESS_START.publish(operation);
  if (received.context !== undefined) MESSAGE_TRACED.publish(operation);
  return operation;
}

/**
 * Calls a handler that is observed.
 *
 * @returns what it returns; of a promise, one that settles as that does
 * @throws what it throws
 */
export function observeMessageProcess<T>(handler: MessageHandlerKind, of: ObservedMessage, call: () => T): T {
  const operation = startMessageProcess(handler, of);
  let result: T;
  try {
    result = operation.run(call);
  } catch (error) {
    operation.end(error ?? new Error("nothing was thrown"));
    throw error;
  }
  if (typeof (result as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function")
    return operation.endWith(Promise.resolve(result)) as T;
  operation.end();
  return result;
}

/** Reports a message that a program reads. */
export function observeMessageReceive(of: ObservedMessage): void {
  MESSAGE_RECEIVE.publish(of);
  if (of.context !== undefined) MESSAGE_TRACED.publish(of);
}

/** Reports that a program acknowledges a message. */
export function observeMessageAcknowledge(of: ObservedMessage): void {
  MESSAGE_ACKNOWLEDGE.publish(of);
}

/** Keeps what came with a message, as long as somebody observes messages. */
export function keepMessageContext(
  message: { context: Buffer | undefined },
  context: Buffer | undefined,
): void {
  if (isMessageProcessObserved() || isMessageReceiveObserved() || isMessageTraced())
    message.context = context;
}
