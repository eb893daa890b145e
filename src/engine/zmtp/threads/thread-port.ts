/**
 * A MessagePort between two sockets in different threads, and what is posted on it. It knows no Node.js: the port may be a
 * browser's, of a page and its worker.
 *
 *   connecting socket                    bound socket
 *                      <-- the port, with the bound socket's description
 *   [HELLO, description, marks]    -->
 *                      <--               [WELCOME, marks]
 *
 *   then, both ways:
 *     ArrayBuffer, transferred           messages: 4 bytes, their number, 4 bytes, that of their frames, then these (37/ZMTP, Framing)
 *     [TAKEN, messages, cost]            the program has taken so many of those that came, which cost so much (core/frame-cost.ts)
 *     [MARKS, messages, bytes]           the receive high-water marks are other ones now
 *     [HALF_CLOSED]                      its sender sends nothing more, and receives until the other has closed
 *     [CLOSED, text]                     nothing more comes, and nothing more is received; text: which message was too large
 *
 *   at any time instead of the next:
 *     [REFUSED, kind, code, message, status]   the peer may not join
 */
import { ERROR_CODES, type ErrorCode } from "../../../core/errors.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { ReceiveMarks } from "../pipe.js";

/** The kinds of what is posted as an array: its first element. */
export const Word = {
  Hello: 0,
  Welcome: 1,
  Refused: 2,
  Taken: 3,
  Marks: 4,
  HalfClosed: 5,
  Closed: 6,
} as const;

/** Bytes before the frames: how many messages, and how many frames they are. */
export const BATCH_HEADER = 8;

/** What each side has to know of the other, as the metadata of a handshake. */
export interface Description {
  readonly socketType: string;
  /** Its routing id; empty: none. */
  readonly identity: Uint8Array;
  readonly property: { readonly name: string; readonly value: string } | undefined;
}

/** What the engine uses of a MessagePort: those of Node.js and of browsers have it. */
export interface MessagePortLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: ((event: unknown) => void) | null;
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  addEventListener(type: "close", listener: () => void): void;
  close(): void;
  /** Where the port would hold the process. */
  unref?(): void;
}

/** Hears what comes on a port. */
export interface PortSink {
  portOnMemory(memory: ArrayBuffer): void;
  /** @param word an array that begins with a Word; what follows has not been checked */
  portOnWord(word: readonly unknown[]): void;
  /** The other end is gone: closed, or its thread has ended. Called once, behind all that came. */
  portOnEnd(): void;
}

export class ThreadPort {
  readonly #port: MessagePortLike;
  #sink: PortSink;
  #closed = false;

  /** @param sink gets what comes, until `handTo` */
  constructor(port: MessagePortLike, sink: PortSink) {
    this.#port = port;
    this.#sink = sink;
    port.addEventListener("close", () => this.#end());
    // What cannot be read is a peer that is not shoal, or no memory for it: what follows would have a gap.
    port.onmessageerror = () => this.#end();
    port.onmessage = ({ data }) => {
      if (this.#closed) return;
      if (Array.isArray(data)) this.#sink.portOnWord(data);
      else if (isMemory(data)) this.#sink.portOnMemory(data);
      else this.#end();
    };
    port.unref?.();
  }

  /** What comes from now on is another's. */
  handTo(sink: PortSink): void {
    this.#sink = sink;
  }

  post(word: readonly unknown[]): void {
    if (!this.#closed) this.#port.postMessage(word);
  }

  /** The memory is the other thread's from now on. */
  transfer(memory: ArrayBuffer): void {
    if (!this.#closed) this.#port.postMessage(memory, [memory]);
  }

  /** What was posted still arrives; what comes is thrown away. */
  close(): void {
    this.#closed = true;
    this.#port.close();
  }

  #end(): void {
    if (this.#closed) return;
    this.close();
    this.#sink.portOnEnd();
  }
}

/** By its name: the memory of a module that runs in a context of its own (node:vm) is of another class. */
function isMemory(data: unknown): data is ArrayBuffer {
  return Object.prototype.toString.call(data) === "[object ArrayBuffer]";
}

export function refusal({ kind, code, message, status }: Fault): readonly unknown[] {
  return [Word.Refused, kind, code, message, status];
}

const KINDS: readonly string[] = ["refused", "auth", "protocol", "other"] satisfies readonly Fault["kind"][];

/** The fault that a refusal brought. */
export function parseRefusal([, kind, code, message, status]: readonly unknown[]): Fault {
  return {
    kind: typeof kind === "string" && KINDS.includes(kind) ? (kind as Fault["kind"]) : "other",
    code:
      typeof code === "string" && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "ERR_HANDSHAKE",
    message: String(message),
    ...(typeof status === "number" ? { status } : {}),
  };
}

/** Marks as they are posted. */
export function marksWord(word: number, marks: ReceiveMarks): readonly unknown[] {
  return [word, marks.receiveHighWaterMark, marks.receiveHighWaterMarkBytes];
}

/** What is not a mark is 1: 0 would be no bound. */
export function parseMarks(messages: unknown, bytes: unknown): ReceiveMarks {
  return { receiveHighWaterMark: countOf(messages, 1), receiveHighWaterMarkBytes: countOf(bytes, 1) };
}

/** A number of messages or bytes, or what stands for something else. */
export function countOf(given: unknown, otherwise: number): number {
  return Number.isSafeInteger(given) && (given as number) >= 0 ? (given as number) : otherwise;
}

/** @returns `undefined` for what is not a description */
export function parseDescription(given: unknown): Description | undefined {
  const { socketType, identity, property } = (given ?? {}) as Partial<Description>;
  if (typeof socketType !== "string" || !ArrayBuffer.isView(identity)) return undefined;
  return { socketType, identity, property };
}
