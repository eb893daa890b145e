/**
 * Contexts of messages that were received and not taken yet (docs/spec/trace-context.md):
 *
 *   command  TRACE | context      belongs to the message whose last frame comes next
 *
 * One for each message that waits at most, the first of several; in bytes they are bounded for themselves.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { MessageContexts, OutgoingMessage } from "../engine.js";
import { commandFrame } from "../frame.js";
import { attachedContext, keepContext, MAX_MESSAGE_CONTEXT } from "../message-context.js";
import { encodeCommand } from "./codec/command.js";
import { encodeMetadata } from "./codec/metadata.js";
import type { OutQueue } from "./codec/out-queue.js";

/** The property by which a peer announces that it takes contexts, and its only value. */
export const CONTEXT_PROPERTY = "X-Trace-Context";
export const CONTEXT_VERSION = "1";
/** The command that has one. */
export const CONTEXT_COMMAND = "TRACE";
/** Bytes of contexts that wait in one pipe; further ones are dropped, and their messages come without. */
export const MAX_WAITING_CONTEXT_BYTES = 65_536;

/** What a socket says of itself in its handshake, with the property where the socket takes contexts. */
export function withContextProperty(
  properties: Uint8Array,
  { carriesContext }: { readonly carriesContext?: boolean },
): Uint8Array {
  if (carriesContext !== true) return properties;
  const property = encodeMetadata([[CONTEXT_PROPERTY, Buffer.from(CONTEXT_VERSION)]]);
  return Buffer.concat([properties, property]);
}

/** What a socket does with contexts. */
export function contextsOf(state: { carriesContext?: boolean }): MessageContexts {
  return {
    carry() {
      state.carriesContext = true;
    },
  };
}

/** What both ends have announced. */
export function withContexts<P extends { readonly carriesContext?: boolean }>(
  peer: P,
  { carriesContext }: { readonly carriesContext?: boolean },
  metadata: ReadonlyMap<string, Buffer>,
): P {
  if (carriesContext !== true) return peer;
  const version = metadata.get(CONTEXT_PROPERTY.toLowerCase())?.toString("latin1");
  return version === CONTEXT_VERSION ? { ...peer, carriesContext: true } : peer;
}

/** A pipe, as far as its contexts go. */
export interface ContextPipe {
  readonly out: Pick<OutQueue, "addContext" | "dropContexts">;
  readonly in: { readonly messages: number };
  contexts: ContextQueue | undefined;
  carriesContext: boolean;
}

/** A peer is linked that takes contexts. */
export function beginContexts(pipe: ContextPipe): void {
  pipe.carriesContext = true;
  pipe.contexts ??= new ContextQueue();
}

/** The link is lost. The next peer may be another, which takes none: what waits for it goes without. */
export function endContexts(pipe: ContextPipe): void {
  pipe.carriesContext = false;
  pipe.contexts?.cut(pipe.in.messages);
  pipe.out.dropContexts();
}

/** Queues the context of the message that comes next, if it has one. */
export function sendContext(pipe: ContextPipe, message: OutgoingMessage): void {
  const context = attachedContext(message);
  if (context !== undefined) pipe.out.addContext(commandFrame(encodeCommand(CONTEXT_COMMAND, context)));
}

/** A context of the message that comes next has arrived: kept where both ends have announced it. */
export function contextArrived(pipe: ContextPipe | undefined, context: Buffer): void {
  if (pipe?.carriesContext === true) pipe.contexts?.add(pipe.in.messages, context);
}

interface Waiting {
  /** Of its message, counted from the pipe's first. */
  readonly number: number;
  readonly context: Buffer;
}

export class ContextQueue {
  readonly #waiting = new RingBuffer<Waiting>(4);
  /** Messages that were taken since the queue began. */
  #taken = 0;
  #bytes = 0;
  #last: Waiting | undefined = undefined;

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A context has come. @param ahead whole messages that wait before its own */
  add(ahead: number, context: Buffer): void {
    const { length } = context;
    if (length === 0 || length > MAX_MESSAGE_CONTEXT || this.#bytes + length > MAX_WAITING_CONTEXT_BYTES)
      return;
    const number = this.#taken + ahead;
    // A peer that sends several for one message: the first is kept, for nothing is to be gained by looking for it.
    if (this.#last?.number === number) return;
    // A copy: the chunk that it came in may be large, or used again.
    this.#last = { number, context: Buffer.from(context) };
    this.#waiting.push(this.#last);
    this.#bytes += length;
  }

  /** A message was taken: it gets its context. */
  taken(frames: readonly Buffer[]): void {
    const context = this.#pass(1);
    if (context !== undefined) keepContext(frames, context);
  }

  /** Messages were taken that get none. */
  skip(messages: number): void {
    this.#pass(messages);
  }

  /** The connection is gone: contexts of messages that did not come whole are another's. @param left whole messages that wait */
  cut(left: number): void {
    const end = this.#taken + left;
    this.#last = undefined;
    this.#waiting.retain((each) => each.number < end);
    this.#bytes = 0;
    this.#waiting.retain((each) => {
      this.#bytes += each.context.length;
      return true;
    });
  }

  /** @returns the context of the last of so many messages */
  #pass(messages: number): Buffer | undefined {
    this.#taken += messages;
    let context: Buffer | undefined;
    for (let head = this.#waiting.peek(); head !== undefined; head = this.#waiting.peek()) {
      if (head.number >= this.#taken) break;
      this.#waiting.shift();
      this.#bytes -= head.context.length;
      context = head.number === this.#taken - 1 ? head.context : undefined;
    }
    return context;
  }
}
