/**
 * Operations for messages of clusters and sessions (diagnostics.ts), and their trace contexts.
 *
 *   publish, sendTo, send, query ── start: a subscriber sets a context ── item with it, to nodes that take contexts ── end
 *   item with a context ── kept with the message ── start ── handler ── end; or receive, where the program reads it
 */
import { isBytes } from "./bytes.js";
import {
  MESSAGE_ACKNOWLEDGE,
  MESSAGE_PROCESS_END,
  MESSAGE_PROCESS_START,
  MESSAGE_RECEIVE,
  MESSAGE_SEND_END,
  MESSAGE_SEND_START,
  Operation,
} from "./diagnostics.js";
import { isThenable } from "./thenable.js";
import { MAX_CONTEXT_BYTES } from "./trace-context.js";

export type MessageCall = "publish" | "sendTo" | "sendToNodes" | "send" | "query";

export type MessageSystem = "cluster" | "sessions";

/** "publication": at a server of sessions. */
export type MessageHandlerKind = "subscription" | "message" | "query" | "publication";

export function isMessageSendObserved(): boolean {
  return MESSAGE_SEND_START.hasSubscribers || MESSAGE_SEND_END.hasSubscribers;
}

export function isMessageProcessObserved(): boolean {
  return MESSAGE_PROCESS_START.hasSubscribers || MESSAGE_PROCESS_END.hasSubscribers;
}

export function isMessageReceiveObserved(): boolean {
  return MESSAGE_RECEIVE.hasSubscribers;
}

export function isMessageAcknowledgeObserved(): boolean {
  return MESSAGE_ACKNOWLEDGE.hasSubscribers;
}

/**
 * Ends when the links have accepted the message, a one-to-one message's client has it, the query has ended,
 * or the session store has the publication.
 */
export class MessageSendOperation extends Operation {
  readonly system: MessageSystem;
  readonly call: MessageCall;
  /** The topic; "self" for a one-to-one message; "channel/N" or "channel/NAME" for services. */
  readonly destination: string;
  readonly bytes: number;
  /** At the end: receiving nodes with this one, services that answered, or sessions that keep it. */
  recipients = 0;
  /** Trace context, at most 1,024 bytes. Set it in a subscriber of `start`. */
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

export interface ObservedMessage {
  readonly system: MessageSystem;
  readonly destination: string;
  /** The subscription's filter; "" for services and sessions. */
  readonly filter: string;
  /** The node or session; "" for a session message that a node published. */
  readonly sender: string;
  readonly bytes: number;
  readonly message: unknown;
  /** At most 1,024 bytes; untrusted. */
  readonly context: Uint8Array | undefined;
}

/** Until the handler returns or its promise settles. */
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

export function channelDestination(channel: unknown): string {
  return typeof channel === "number" || typeof channel === "string" ? `channel/${channel}` : "channel";
}

export function observedBytes(data: unknown): number {
  return typeof data === "string" ? Buffer.byteLength(data) : isBytes(data) ? data.length : 0;
}

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

export function contextToSend({ context }: MessageSendOperation): Buffer | undefined {
  return isBytes(context) && context.length > 0 && context.length <= MAX_CONTEXT_BYTES
    ? Buffer.from(context)
    : undefined;
}

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

export function startMessageProcess(
  handler: MessageHandlerKind,
  received: ObservedMessage,
): MessageProcessOperation {
  const operation = new MessageProcessOperation(handler, received);
  MESSAGE_PROCESS_START.publish(operation);
  return operation;
}

export function observeMessageProcess<T>(handler: MessageHandlerKind, of: ObservedMessage, call: () => T): T {
  const operation = startMessageProcess(handler, of);
  let result: T;
  try {
    result = operation.run(call);
  } catch (error) {
    operation.end(error ?? new Error("nothing was thrown"));
    throw error;
  }
  if (isThenable(result)) return operation.endWith(Promise.resolve(result)) as T;
  operation.end();
  return result;
}

export function observeMessageReceive(of: ObservedMessage): void {
  MESSAGE_RECEIVE.publish(of);
}

export function observeMessageAcknowledge(of: ObservedMessage): void {
  MESSAGE_ACKNOWLEDGE.publish(of);
}

export function keepMessageContext(
  message: { context: Buffer | undefined },
  context: Buffer | undefined,
): void {
  if (isMessageProcessObserved() || isMessageReceiveObserved()) message.context = context;
}
