import { isBytes } from "../core/bytes.js";
import type { OutgoingFrame, OutgoingMessage } from "./engine.js";

/** For programs that reuse the memory they send. @param copy copies a frame */
export function copyOf(
  message: OutgoingMessage,
  copy: (bytes: Uint8Array) => Uint8Array = Buffer.from,
): OutgoingMessage {
  if (typeof message === "string") return message;
  if (isBytes(message)) return copy(message);
  return message.map((frame) => copyOf(frame, copy)) as OutgoingFrame[];
}
