/**
 * Shapes of messages: plain frames, or a codec's value in the last frame.
 *
 *   frames    frame…                      no codec
 *   body      value                       PUSH, PULL, REQ, REP, DEALER, PAIR
 *   topic     topic | value               PUB, SUB
 *   routed    routing id | frame… | value ROUTER
 */
import { invalidArgument } from "../core/arguments.js";
import { InvalidMessageError, ShoalError } from "../core/errors.js";
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
    throw invalidArgument("Option codec must have the methods encode and decode, such as json() has", codec);
  }
  return codecShape(name, codec);
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

function codecShape(name: ShapeName, codec: Codec<unknown>): MessageShape {
  const { min, max } = COUNTS[name];
  const badCount = (got: string): InvalidMessageError => {
    const shapes = { body: "[value] or value", topic: "[topic, value]", routed: "[routingId, …, value]" };
    return new InvalidMessageError(`A message here must be ${shapes[name]}; got ${got}`);
  };
  return {
    encode(value) {
      if (!Array.isArray(value)) {
        if (name !== "body") throw badCount("a single value");
        return encodeValue(codec, value);
      }
      if (value.length < min || value.length > max) throw badCount(`an array of ${value.length}`);
      const frames: OutgoingFrame[] = [];
      for (let i = 0; i < value.length - 1; i++) frames.push(toFrame(value[i]));
      frames.push(encodeValue(codec, value[value.length - 1]));
      return frames;
    },

    decode(frames, onInvalid) {
      if (frames.length < min || frames.length > max) {
        onInvalid("frames", badCount(`${frames.length} frames`));
        return undefined;
      }
      const last = frames.length - 1;
      try {
        return [...frames.slice(0, last), codec.decode(frames[last] as Buffer)];
      } catch (cause) {
        const schema = cause instanceof InvalidMessageError;
        onInvalid(
          schema ? "schema" : "codec",
          schema ? cause : new InvalidMessageError(`The frame is no ${codec.name}`, { cause }),
        );
        return undefined;
      }
    },
  };
}
