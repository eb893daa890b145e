/**
 * The words on a MessagePort between two sockets in different threads, both ways:
 *
 *   ArrayBuffer, transferred     messages: 4 bytes, their number, 4 bytes, that of their frames, then these (37/ZMTP, Framing)
 *   [TAKEN, messages, cost]      totals that the program has taken, the cost as in core/frame-cost.ts
 *   [MARKS, messages, bytes]     new receive high-water marks
 *   [HALF_CLOSED]                the sender sends nothing more, and receives until the other has closed
 *   [CLOSED, text]               the sender neither sends nor receives; text: which message was too large
 */
import { ERROR_CODES, type ErrorCode } from "../../../core/errors.js";
import type { Fault } from "../mechanism/mechanism.js";
import type { ReceiveMarks } from "../pipe.js";

export const Word = { Taken: 3, Marks: 4, HalfClosed: 5, Closed: 6 } as const;

export const BATCH_HEADER = 8;

/** A socket, for another thread. */
export interface Description {
  readonly socketType: string;
  /** Routing id; empty: unset. */
  readonly identity: Uint8Array;
  readonly marks: ReceiveMarks;
}

export interface MessagePortLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: ((event: unknown) => void) | null;
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  addEventListener(type: "close", listener: () => void): void;
  close(): void;
  /** Present if the port keeps the process alive. */
  unref?(): void;
}

const KINDS: readonly string[] = ["refused", "auth", "protocol", "other"] satisfies readonly Fault["kind"][];

export function parseFault(given: unknown): Fault {
  const { kind, code, message, status } = (given ?? {}) as Readonly<Record<keyof Fault, unknown>>;
  return {
    kind: typeof kind === "string" && KINDS.includes(kind) ? (kind as Fault["kind"]) : "other",
    code:
      typeof code === "string" && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "ERR_HANDSHAKE",
    message: String(message),
    ...(typeof status === "number" ? { status } : {}),
  };
}

/** Invalid marks become 1, because 0 is unbounded. */
export function parseMarks(messages: unknown, bytes: unknown): ReceiveMarks {
  return { receiveHighWaterMark: countOf(messages, 1), receiveHighWaterMarkBytes: countOf(bytes, 1) };
}

export function countOf(given: unknown, otherwise: number): number {
  return Number.isSafeInteger(given) && (given as number) >= 0 ? (given as number) : otherwise;
}

export function parseDescription(given: unknown): Description | undefined {
  const { socketType, identity, marks } = (given ?? {}) as Partial<Description>;
  if (typeof socketType !== "string" || !ArrayBuffer.isView(identity)) return undefined;
  const { receiveHighWaterMark, receiveHighWaterMarkBytes } = marks ?? {};
  return {
    socketType,
    identity,
    marks: parseMarks(receiveHighWaterMark, receiveHighWaterMarkBytes),
  };
}
