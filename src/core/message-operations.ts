/**
 * Operations for messages of clusters and sessions (diagnostics.ts), and their trace contexts (docs/tracing.md).
 *
 *   publish, sendTo, send, query ── start: a subscriber sets a context ── item with it, to nodes that take contexts ── end
 *   item with a context ── kept with the message ── start ── handler ── end; or receive, where the program reads it
 *
 *   context       (n 1 | name n | length 2 | value)*
 */
import { isBytes } from "./bytes.js";
import {
  begin,
  isObserved,
  MESSAGE_PROCESS,
  MESSAGE_RECEIVE,
  MESSAGE_SEND,
  type Operation,
} from "./diagnostics.js";

/** Bytes of a context; larger ones are neither sent nor read. */
export const MAX_CONTEXT_BYTES = 1_024;

export type MessageCall = "publish" | "sendTo" | "sendToNodes" | "send" | "query";

export type MessageSystem = "cluster" | "sessions";

/** "publication": at a server of sessions. */
export type MessageHandlerKind = "subscription" | "message" | "query" | "publication";

/**
 * Ends when the links have accepted the message, a one-to-one message's client has it, the query has ended,
 * or the session store has the publication.
 */
export interface MessageSendOperation extends Operation {
  readonly system: MessageSystem;
  readonly call: MessageCall;
  /** The topic; "self" for a one-to-one message; "channel/N" or "channel/NAME" for services. */
  readonly destination: string;
  readonly bytes: number;
  /** At the end: receiving nodes with this one, services that answered, or sessions that keep it. */
  recipients: number;
  /** Trace context, at most 1,024 bytes. Set it in a subscriber of `start`. */
  context: Uint8Array | undefined;
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
export interface MessageProcessOperation extends Operation {
  readonly handler: MessageHandlerKind;
  readonly received: ObservedMessage;
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
  return begin<MessageSendOperation>(MESSAGE_SEND, {
    system,
    call,
    destination: typeof destination === "string" ? destination : "",
    bytes: observedBytes(data),
    recipients: 0,
    context: undefined,
  });
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
  return operation.observe(() =>
    send(contextToSend(operation)).then((result) => {
      operation.recipients = recipients(result);
      return result;
    }),
  );
}

export function keepMessageContext(
  message: { context: Buffer | undefined },
  context: Buffer | undefined,
): void {
  if (isObserved(MESSAGE_PROCESS) || MESSAGE_RECEIVE.hasSubscribers) message.context = context;
}

type Headers = Readonly<Record<string, string>>;

/** @returns `undefined` if there are no headers, or too many */
export function encodeContext(headers: Headers): Uint8Array | undefined {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const [nameBytes, valueBytes] = [Buffer.from(name), Buffer.from(value)];
    if (nameBytes.length === 0 || nameBytes.length > 255) return undefined;
    if (valueBytes.length > MAX_CONTEXT_BYTES) return undefined;
    const length = Buffer.allocUnsafe(2);
    length.writeUInt16BE(valueBytes.length);
    parts.push(Buffer.of(nameBytes.length), nameBytes, length, valueBytes);
  }
  const encoded = Buffer.concat(parts);
  return encoded.length > 0 && encoded.length <= MAX_CONTEXT_BYTES ? encoded : undefined;
}

export function decodeContext(context: Uint8Array): Headers | undefined {
  if (context.length > MAX_CONTEXT_BYTES) return undefined;
  const bytes = Buffer.from(context.buffer, context.byteOffset, context.length);
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (let at = 0; at < bytes.length; ) {
    const valueAt = at + 1 + (bytes[at] as number) + 2;
    if (valueAt > bytes.length) return undefined;
    const end = valueAt + bytes.readUInt16BE(valueAt - 2);
    if (end > bytes.length) return undefined;
    headers[bytes.toString("utf8", at + 1, valueAt - 2)] = bytes.toString("utf8", valueAt, end);
    at = end;
  }
  return headers;
}
