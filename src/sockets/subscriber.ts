/**
 * Sends to one subscriber of an XPublisher alone, where the engine can (capability
 * `answerSubscribers`): what a newcomer is owed need not go to everybody.
 *
 *   frames = await socket.receive() ; senderOf(socket) ; trySendTo(socket, subscriber, message)
 *
 * What is sent to one and what is sent to all go through the same queue, in the order of the calls.
 */
import { OfferResult } from "../engine/engine.js";
import type { EngineSubscriber } from "../engine/subscriber.js";
import type { XPublisher } from "./pub-sub.js";
import { CORE } from "./socket.js";

/** One subscriber, while its connection lasts: the same object for all its messages. */
export type Subscribed = Pick<EngineSubscriber, "has" | "wantWritable">;

/** Whether the socket's engine can. */
export function answersSubscribers(socket: XPublisher): boolean {
  return socket[CORE].context.load().capabilities.answerSubscribers;
}

/** Who sent the message that was received last; `undefined`: nobody that is still there. To be asked before the next receive. */
export function senderOf(socket: XPublisher): Subscribed | undefined {
  return socket[CORE].engine.subscriber?.();
}

/**
 * Sends a message to one subscriber alone, whatever it subscribed to. Not for a socket with `noDrop`, whose sends may wait.
 *
 * @param message its frames; the bytes are the socket's from now on
 * @returns `full` while half of the subscriber's high-water mark waits: its `wantWritable` tells when to try again
 */
export function trySendTo(
  socket: XPublisher,
  subscriber: Subscribed,
  message: readonly Buffer[],
): "sent" | "full" | "gone" {
  const core = socket[CORE];
  if (core.closed) return "gone";
  const result = (subscriber as EngineSubscriber).offer(message);
  if (result === OfferResult.Mute) return "full";
  if (result !== OfferResult.Accepted) return "gone";
  const { counters } = core;
  counters.sent += 1;
  counters.delivered += 1;
  for (let i = 0; i < message.length; i++) counters.bytesSent += (message[i] as Buffer).length;
  return "sent";
}
