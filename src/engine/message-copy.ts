/** Copies of messages, for programs that go on writing to the memory of what they send. */
import type { OutgoingFrame, OutgoingMessage } from "./engine.js";
import { attachContext, attachedContext, CARRIES_CONTEXT } from "./message-context.js";

/** A message in memory of its own, with the context that is to go with it. */
export function copyOf(message: OutgoingMessage): OutgoingMessage {
  if (typeof message === "string") return message;
  if (message instanceof Uint8Array) return Buffer.from(message);
  const copy = message.map(copyOf) as OutgoingFrame[];
  const context = CARRIES_CONTEXT ? attachedContext(message) : undefined;
  if (context !== undefined) attachContext(copy, context);
  return copy;
}
