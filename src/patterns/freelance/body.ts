/** Bodies of requests and replies: frames as they are, or one frame that a codec makes. */
import { InvalidMessageError, ShoalError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import { type MessageLike, toMessage } from "../../sockets/message.js";
import type { BodyIn, BodyOut, Raw } from "../../sockets/shape.js";

/** The body as a handler gets it: frames, or with a codec the value. */
export type FreelanceBody<T> = [T] extends [Raw] ? Buffer[] : T;

/** @throws InvalidArgumentError, InvalidMessageError for what has no form on the wire */
export function encodeBody<T>(codec: Codec<T> | undefined, body: BodyOut<T>): MessageLike[] {
  if (codec === undefined) {
    const message = toMessage(body);
    return (Array.isArray(message) ? message : [message]) as MessageLike[];
  }
  const value = (Array.isArray(body) && body.length === 1 ? body[0] : body) as T;
  try {
    return [codec.encode(value)];
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause;
    throw new InvalidMessageError(`The value has no ${codec.name} form`, { cause });
  }
}

/** @throws InvalidMessageError for frames that the codec or its schema refuses */
export function decodeBody<T>(codec: Codec<T> | undefined, frames: Buffer[]): BodyIn<T> {
  if (codec === undefined) return frames as BodyIn<T>;
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1)
    throw new InvalidMessageError(`Expected one frame of ${codec.name}; got ${frames.length}`);
  try {
    return [codec.decode(frame)] as BodyIn<T>;
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause;
    throw new InvalidMessageError(`The frame is no ${codec.name}`, { cause });
  }
}
