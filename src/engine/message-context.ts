/**
 * What goes with a message and is no frame of it: the context of a trace, as bytes (docs/spec/trace-context.md).
 *
 *   send: attachContext(frames) ── engine ── TRACE command before the message ──> keepContext(frames) ── receivedContext :receive
 *
 * Only to a peer that announced it in its handshake, and only of a socket that did, too.
 */

/** Bytes of a context at most; a longer one is neither sent nor kept. */
export const MAX_MESSAGE_CONTEXT = 1_024;

const attached = new WeakMap<object, Uint8Array>();
const received = new WeakMap<object, Buffer>();

/** Has a context go with a message, wherever that is queued. @param frames an array that is sent once */
export function attachContext(frames: object, context: Uint8Array): void {
  if (context.length > 0 && context.length <= MAX_MESSAGE_CONTEXT) attached.set(frames, context);
}

/** @returns the context that is to go with a message */
export function attachedContext(message: unknown): Uint8Array | undefined {
  return typeof message === "object" && message !== null ? attached.get(message) : undefined;
}

/** A context came with a message. */
export function keepContext(frames: readonly Buffer[], context: Buffer): void {
  received.set(frames, context);
}

/** The frames of a message are another array now. */
export function moveContext(from: readonly Buffer[], to: readonly Buffer[]): void {
  const context = received.get(from);
  if (context !== undefined) received.set(to, context);
}

/** @returns the context that came with a message: bytes of a remote program */
export function receivedContext(frames: readonly Buffer[]): Buffer | undefined {
  return received.get(frames);
}
