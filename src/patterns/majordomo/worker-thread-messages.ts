/**
 * What a worker's two threads tell each other: the main thread has the handler,
 * the other the sockets (worker-thread.ts, worker-thread-entry.ts).
 *
 *   sockets' thread                       main thread
 *   up          names of the accounts
 *   request     number, id, frames  --->  the handler runs
 *                                   <---  reply, or failed
 *                                   <---  stream: the answer comes in pieces
 *   next        number              --->
 *                                   <---  piece, or end, or failed
 *   return      number              --->  nobody wants more pieces
 *                                   <---  watch: the handler asks for its signal
 *   abort       number              --->
 *   event       event               --->
 *                                   <---  close: linger
 *   closed                          --->
 *
 * A request is told once a handler is free for it, and a piece once it is asked
 * for: so what is under way between the threads has a bound, however long either
 * is held up. Events have one of their own (MAX_UNTOLD).
 *
 * Frames are packed into memory of their own, one copy, and that is transferred:
 * cloned, a frame would take with it the whole chunk that it was received in.
 */
import type { MessageLike } from "../../sockets/message.js";
import { toMessage } from "../../sockets/message.js";
import type { WorkerEvent } from "./worker-events.js";

/** Frames in one piece of memory, one after the other. */
export interface Packed {
  readonly lengths: readonly number[];
  readonly bytes: ArrayBuffer;
}

export type FromSockets =
  | { readonly type: "up"; readonly names: readonly string[] }
  | {
      readonly type: "request";
      readonly number: number;
      readonly id: string | undefined;
      readonly frames: Packed;
    }
  | { readonly type: "next" | "return" | "abort"; readonly number: number }
  | { readonly type: "event"; readonly event: WorkerEvent }
  | { readonly type: "closed" };

/** What becomes of a request, or of the question for the next piece. */
export type Outcome =
  | { readonly type: "reply" | "piece"; readonly number: number; readonly frames: Packed }
  | { readonly type: "stream"; readonly number: number }
  /** Without frames: the pieces are all there is. */
  | { readonly type: "end"; readonly number: number; readonly frames: Packed | undefined }
  | { readonly type: "failed"; readonly number: number; readonly text: string };

export type FromHandler =
  | Outcome
  | { readonly type: "watch"; readonly number: number }
  | { readonly type: "close"; readonly linger: number };

/** What the sockets' thread begins with. */
export interface ThreadData {
  readonly endpoints: readonly string[];
  readonly service: string;
  /** Options of the worker that can be cloned. */
  readonly options: { readonly socketOptions: object };
  /** The accounts, in the order of the names that `up` tells. */
  readonly accounts: Float64Array;
  /** [0]: events that the main thread has taken. */
  readonly taken: Int32Array;
}

/** Accounts that there is room for. */
export const MAX_ACCOUNTS = 64;

/** Events on their way to a main thread that is held up; further ones are dropped, and `events:lost` says how many. */
export const MAX_UNTOLD = 1_000;

/** Copies frames into memory that can be transferred. */
export function pack(frames: readonly (Uint8Array | string)[]): Packed {
  const lengths = frames.map((frame) =>
    typeof frame === "string" ? Buffer.byteLength(frame) : frame.length,
  );
  const bytes = new ArrayBuffer(lengths.reduce((sum, length) => sum + length, 0));
  const target = Buffer.from(bytes);
  let at = 0;
  for (const [index, frame] of frames.entries()) {
    if (typeof frame === "string") target.write(frame, at);
    else target.set(frame, at);
    at += lengths[index] as number;
  }
  return { lengths, bytes };
}

/** Packs what a handler gave. @throws InvalidArgumentError `EINVAL` for what is no message */
export function packReply(reply: MessageLike | MessageLike[]): Packed {
  const message = toMessage(reply);
  return pack(Array.isArray(message) ? message : [message as Uint8Array | string]);
}

/** The frames, as views on the memory that came. */
export function unpack({ lengths, bytes }: Packed): Buffer[] {
  let at = 0;
  return lengths.map((length) => {
    const frame = Buffer.from(bytes, at, length);
    at += length;
    return frame;
  });
}
