/** Bodies of requests and replies: frames, or with a codec one value. */
import type { ShoalError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import { type MessageLike, toMessage } from "../../sockets/message.js";
import { type Raw, shapeFor } from "../../sockets/shape.js";

/** A body as it is received: frames, or with a codec the value. */
export type BodyOf<T> = [T] extends [Raw] ? Buffer[] : T;
/** A body as it is given: a frame or frames, or with a codec the value. */
export type BodyFor<T> = [T] extends [Raw] ? MessageLike | MessageLike[] : T;

/** Turns bodies into frames and back, as a socket with this codec would. */
export class BodyShape<T> {
  readonly #codec: Codec<T> | undefined;
  readonly #decode: (frames: Buffer[]) => unknown;

  /** @throws InvalidArgumentError `EINVAL` when `codec` is none */
  constructor(codec: Codec<T> | undefined) {
    this.#codec = codec;
    const shape = shapeFor("body", codec);
    this.#decode = (frames) =>
      shape.decode(frames, (_, error: ShoalError) => {
        throw error;
      });
  }

  /** @throws InvalidArgumentError, InvalidMessageError for what has no such form */
  encode(body: unknown): Buffer[] {
    const message = this.#codec === undefined ? toMessage(body) : this.#codec.encode(body as T);
    const frames = typeof message === "string" || message instanceof Uint8Array ? [message] : message;
    return frames.map((frame) =>
      typeof frame === "string"
        ? Buffer.from(frame)
        : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength),
    );
  }

  /** @throws InvalidMessageError for frames that the codec or its schema refuses */
  decode(frames: Buffer[]): BodyOf<T> {
    const decoded = this.#decode(frames) as unknown[];
    return (this.#codec === undefined ? decoded : decoded[0]) as BodyOf<T>;
  }
}
