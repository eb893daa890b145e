/**
 * The words on a MessagePort between two sockets in different threads, both ways:
 *
 *   ArrayBuffer, transferred     messages: 4 bytes, their number, 4 bytes, that of their frames, then these (37/ZMTP, Framing)
 *   [TAKEN, messages, cost]      totals that the program has taken, the cost as in core/frame-cost.ts
 *   [HALF_CLOSED]                the sender sends nothing more, and receives until the other has closed
 *   [CLOSED]                     the sender neither sends nor receives
 *
 * All threads of the process are one program, so words are not checked.
 */
import type { ReceiveMarks } from "../pipe.js";

export const Word = { Taken: 3, HalfClosed: 4, Closed: 5 } as const;

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
