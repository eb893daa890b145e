/** A service's handler: what it gets, and what it may give back. */
import type { MessageLike } from "../../sockets/message.js";
import type { Raw } from "../../sockets/shape.js";

/** What a handler gets: frames, or with a codec the value. */
export type RequestBody<T> = [T] extends [Raw] ? Buffer[] : T;
/** What a handler gives: a frame or frames, or with a codec the value. */
export type ReplyBody<T> = [T] extends [Raw] ? MessageLike | MessageLike[] : T;

/** What a handler may give back: the reply, or pieces of it as they come, and with `return` the last. */
export type HandlerResult<T> =
  | ReplyBody<T>
  | Promise<ReplyBody<T>>
  | AsyncGenerator<ReplyBody<T>, ReplyBody<T> | undefined, void>;

/** Handles one request of a service. */
export type MajordomoHandler<Req = Raw, Rep = Raw> = (
  request: RequestBody<Req>,
  context: RequestContext,
) => HandlerResult<Rep>;

/** Beside the request's body. */
export interface RequestContext {
  /** Aborted when nobody waits for the answer any more: given up, the broker lost, the worker closing. */
  readonly signal: AbortSignal;
  /** The service that was asked. */
  readonly service: string;
  /** The same for each repetition of a request; 32 hexadecimal digits, `undefined` from a plain client or broker. */
  readonly id: string | undefined;
}
