/** What sockets publish of their messages (src/core/diagnostics.ts). In pages nothing of it is there. */
import { Operation, RECEIVE, SEND_END, SEND_START } from "../core/diagnostics.js";
import { TimeoutError } from "../core/errors.js";
import type { OutgoingMessage } from "../engine/engine.js";
import { byteLengthOf } from "./message.js";

export { DEBUG, logEvent } from "./debug-log.js";

/** Whether sockets can be observed: a constant, so that a page's build has none of it. */
export const OBSERVABLE = true as boolean;

/** Whether anybody observes what is sent: asked with each message. */
export function isSendObserved(): boolean {
  return SEND_START.hasSubscribers || SEND_END.hasSubscribers;
}

/** The same of what is received. */
export function isReceiveObserved(): boolean {
  return RECEIVE.hasSubscribers;
}

/** A message that a program sends by a socket: until the engine has it, or the call fails. */
export class SendOperation extends Operation {
  /** The socket: one of the package's classes. */
  readonly socket: object;
  /** "Push", "Router", … */
  readonly socketType: string;
  /** Its frames as they go out, the routing id of a Router first; they must not be changed. */
  readonly message: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Bytes of the frames. */
  readonly bytes: number;

  /** @internal */
  constructor(socket: object, socketType: string, message: OutgoingMessage) {
    super(SEND_END);
    this.socket = socket;
    this.socketType = socketType;
    this.message = message;
    this.bytes = byteLengthOf(message);
  }
}

/** A message that a program gets from a socket. A subscriber must not call the socket. */
export interface ReceivedMessage {
  readonly socket: object;
  readonly socketType: string;
  /** What the program gets: its frames, or what the codec made of them. */
  readonly message: unknown;
  /** Bytes of the frames. */
  readonly bytes: number;
}

/** Sends a message that is observed. */
export function observeSend(
  socket: object,
  socketType: string,
  message: OutgoingMessage,
  send: (message: OutgoingMessage) => Promise<void>,
): Promise<void> {
  const operation = new SendOperation(socket, socketType, message);
  SEND_START.publish(operation);
  try {
    return operation.endWith(operation.run(() => send(message)));
  } catch (error) {
    operation.end(error);
    throw error;
  }
}

/** The same for one that is sent at once or not at all; `false` is an end with an error. */
export function observeTrySend(
  socket: object,
  socketType: string,
  message: OutgoingMessage,
  send: (message: OutgoingMessage) => boolean,
): boolean {
  const operation = new SendOperation(socket, socketType, message);
  SEND_START.publish(operation);
  let error: unknown;
  try {
    const isSent = operation.run(() => send(message));
    if (!isSent) error = new TimeoutError("EAGAIN", "No peer has room, or earlier sends still wait");
    return isSent;
  } catch (thrown) {
    error = thrown;
    throw thrown;
  } finally {
    operation.end(error);
  }
}

/** Reports a message that a program is about to get. */
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
