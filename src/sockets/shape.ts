/**
 * Shapes of messages: plain frames, or a codec's value in the last frame.
 *
 *   frames    frame…                      no codec
 *   body      value                       PUSH, PULL, REQ, REP, DEALER, PAIR
 *   topic     topic | value               PUB, SUB
 *   routed    routing id | frame… | value ROUTER
 */
import { InvalidArgumentError, InvalidMessageError, ShoalError } from "../core/errors.js";
import type { OutgoingFrame, OutgoingMessage } from "../engine/engine.js";
import type { InvalidReason } from "../engine/events.js";
import type { Codec } from "./codec.js";
import { type MessageLike, toFrame, toMessage } from "./message.js";

export type Raw = { readonly raw: unique symbol };

/**
 * `T` without inference. The built-in `NoInfer` would stay on the type and keep a union's value from being checked
 * against the member selected by its discriminant.
 */
export type Settled<T> = [T][T extends unknown ? 0 : never];

/** Frames to send, or a codec's value, alone or as an array's only element. */
export type BodyOut<T> = [T] extends [Raw]
  ? MessageLike | MessageLike[]
  : (T extends readonly unknown[] ? never : T) | readonly [T];
/** Received frames, or a codec's value as only element. */
export type BodyIn<T> = [T] extends [Raw] ? Buffer[] : [T];
/** Frames to publish, or a topic and a codec's value. */
export type TopicOut<T> = [T] extends [Raw]
  ? MessageLike | MessageLike[]
  : readonly [topic: MessageLike, body: T];
/** Received frames, or a topic and a codec's value. */
export type TopicIn<T> = [T] extends [Raw] ? Buffer[] : [topic: Buffer, body: T];
/** Routing id and frames to send; with a codec the last is the value. */
export type RoutedOut<T> = [T] extends [Raw]
  ? MessageLike | MessageLike[]
  : readonly [MessageLike, ...MessageLike[], T];
/** Routing id and received frames; with a codec the last is the value. */
export type RoutedIn<T> = [T] extends [Raw] ? Buffer[] : [Buffer, ...Buffer[], T];

export type OnInvalid = (reason: InvalidReason, error: ShoalError) => void;

export interface MessageShape {
  encode(value: unknown): OutgoingMessage;
  /** @returns `undefined` after a call of `onInvalid` */
  decode(frames: Buffer[], onInvalid: OnInvalid): unknown;
}

export const FRAMES: MessageShape = {
  encode: toMessage,
  decode: (frames) => frames,
};

const COUNTS = {
  body: { min: 1, max: 1 },
  topic: { min: 2, max: 2 },
  routed: { min: 2, max: Number.POSITIVE_INFINITY },
} as const;

export type ShapeName = keyof typeof COUNTS;

/** @throws InvalidArgumentError `EINVAL` */
export function shapeFor(name: ShapeName, codec: unknown): MessageShape {
  if (codec === undefined) return FRAMES;
  if (!isCodec(codec)) {
    throw new InvalidArgumentError(
      "Option codec must have the methods encode and decode, such as json() has",
    );
  }
  return new CodecShape(name, codec);
}

function isCodec(value: unknown): value is Codec<unknown> {
  const codec = value as Partial<Codec<unknown>> | null;
  return (
    typeof codec === "object" && typeof codec?.encode === "function" && typeof codec.decode === "function"
  );
}

/** @throws InvalidMessageError when the value cannot be encoded */
export function encodeValue<T>(codec: Codec<T>, value: T): OutgoingFrame {
  try {
    return toFrame(codec.encode(value));
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause;
    throw new InvalidMessageError(`The value has no ${codec.name} form`, { cause });
  }
}

class CodecShape implements MessageShape {
  readonly #name: ShapeName;
  readonly #codec: Codec<unknown>;
  readonly #min: number;
  readonly #max: number;

  constructor(name: ShapeName, codec: Codec<unknown>) {
    this.#name = name;
    this.#codec = codec;
    this.#min = COUNTS[name].min;
    this.#max = COUNTS[name].max;
  }

  encode(value: unknown): OutgoingMessage {
    if (!Array.isArray(value)) {
      if (this.#name !== "body") throw this.#count("a single value");
      return encodeValue(this.#codec, value);
    }
    if (value.length < this.#min || value.length > this.#max)
      throw this.#count(`an array of ${value.length}`);
    const frames: OutgoingFrame[] = [];
    for (let i = 0; i < value.length - 1; i++) frames.push(toFrame(value[i]));
    frames.push(encodeValue(this.#codec, value[value.length - 1]));
    return frames;
  }

  decode(frames: Buffer[], onInvalid: OnInvalid): unknown {
    if (frames.length < this.#min || frames.length > this.#max) {
      onInvalid("frames", this.#count(`${frames.length} frames`));
      return undefined;
    }
    const last = frames.length - 1;
    try {
      return [...frames.slice(0, last), this.#codec.decode(frames[last] as Buffer)];
    } catch (cause) {
      const schema = cause instanceof InvalidMessageError;
      onInvalid(
        schema ? "schema" : "codec",
        schema ? cause : new InvalidMessageError(`The frame is no ${this.#codec.name}`, { cause }),
      );
      return undefined;
    }
  }

  #count(got: string): InvalidMessageError {
    const shapes = { body: "[value] or value", topic: "[topic, value]", routed: "[routingId, …, value]" };
    return new InvalidMessageError(`A message here must be ${shapes[this.#name]}; got ${got}`);
  }
}
