/** Shows what sockets do to subscribers (src/core/diagnostics.ts) and to `NODE_DEBUG=shoal`; pages have neither. */
import { begin, DEBUG, isObserved, type Operation, RECEIVE, SEND } from "../core/diagnostics.js";
import { TimeoutError, UnroutableError } from "../core/errors.js";
import type { OutgoingMessage } from "../engine/engine.js";
import type { SocketEvent } from "../engine/events.js";
import { byteLengthOf } from "./message.js";
import type { DeliveryResult } from "./outbox.js";

export function logEvent(socketType: string, event: SocketEvent): void {
  const { type, ...details } = { error: undefined, ...event };
  DEBUG("%s %s %j", socketType, type, { ...details, error: details.error?.message });
}

export function isSendObserved(): boolean {
  return isObserved(SEND);
}

export function isReceiveObserved(): boolean {
  return RECEIVE.hasSubscribers;
}

/** A send, until the engine has the message or the call fails. */
export interface SendOperation extends Operation {
  /** One of the package's sockets. */
  readonly socket: object;
  /** "Push", "Router", … */
  readonly socketType: string;
  /** Outgoing frames, for a Router with the routing id first; read-only. */
  readonly message: string | Uint8Array | readonly (string | Uint8Array)[];
  readonly bytes: number;
}

function beginSend(socket: object, socketType: string, message: OutgoingMessage): SendOperation {
  return begin<SendOperation>(SEND, { socket, socketType, message, bytes: byteLengthOf(message) });
}

/** A received message. A subscriber must not call the socket. */
export interface ReceivedMessage {
  readonly socket: object;
  readonly socketType: string;
  /** The frames, or the codec's value. */
  readonly message: unknown;
  readonly bytes: number;
}

export function observeSend(
  socket: object,
  socketType: string,
  message: OutgoingMessage,
  send: () => Promise<void>,
): Promise<void> {
  return beginSend(socket, socketType, message).observe(send);
}

/** @param send returns `true` or "sent" for success */
export function observeTrySend<R extends boolean | DeliveryResult>(
  socket: object,
  socketType: string,
  message: OutgoingMessage,
  send: () => R,
): R {
  const operation = beginSend(socket, socketType, message);
  let error: unknown;
  try {
    const result = operation.run(send);
    if (result === "gone") error = new UnroutableError("No peer with this routing id is connected");
    else if (result !== true && result !== "sent")
      error = new TimeoutError("EAGAIN", "No peer has room, or earlier sends still wait");
    return result;
  } catch (thrown) {
    error = thrown;
    throw thrown;
  } finally {
    operation.end(error);
  }
}

export function observeReceive(
  socket: object,
  socketType: string,
  frames: readonly Buffer[],
  message: unknown,
): void {
  let bytes = 0;
  for (const { length } of frames) bytes += length;
  const received: ReceivedMessage = { socket, socketType, message, bytes };
  RECEIVE.publish(received);
}
