/** Bodies of requests and replies: raw frames, or one frame encoded by a codec. */
import { isBytes } from "../core/bytes.js";
import { InvalidMessageError } from "../core/errors.js";
import type { Codec } from "../sockets/codec.js";
import { encodeValue, type MessageLike, type Raw, toMessage } from "../sockets/message.js";

/** Frames, or with a codec the value. */
export type BodyOf<T> = [T] extends [Raw] ? Buffer[] : T;
/** A frame or frames, or with a codec the value. */
export type BodyFor<T> = [T] extends [Raw] ? MessageLike | MessageLike[] : T;

export class BodyShape<T> {
  readonly #codec: Codec<T> | undefined;

  constructor(codec: Codec<T> | undefined) {
    this.#codec = codec;
  }

  /** @throws InvalidArgumentError; InvalidMessageError when the value cannot be encoded */
  encode(body: BodyFor<T>): Buffer[] {
    const message = this.#codec === undefined ? toMessage(body) : encodeValue(this.#codec, body as T);
    const frames = typeof message === "string" || isBytes(message) ? [message] : message;
    return frames.map((frame) =>
      typeof frame === "string"
        ? Buffer.from(frame)
        : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength),
    );
  }

  /** @throws InvalidMessageError when the codec or its schema refuses the frames */
  decode(frames: readonly Buffer[]): BodyOf<T> {
    return this.#codec === undefined
      ? (frames as BodyOf<T>)
      : (decodeValue(this.#codec, frames) as BodyOf<T>);
  }
}

/** @throws InvalidMessageError when the codec or its schema refuses the frames */
export function decodeValue<T>(codec: Codec<T>, frames: readonly Buffer[]): T {
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1)
    throw new InvalidMessageError(`A value must be one frame of ${codec.name}; got ${frames.length} frames`);
  try {
    return codec.decode(frame);
  } catch (cause) {
    if (cause instanceof InvalidMessageError) throw cause;
    throw new InvalidMessageError(`The frame is not ${codec.name}`, { cause });
  }
}
