/**
 * What a program sends and receives, and what the engine gets.
 *
 *   Buffer, any view        that memory, as bytes: not copied, so not to be changed after the call
 *   ArrayBuffer, Shared…    its bytes
 *   string                  UTF-8
 *   number                  its decimal text
 *   null                    an empty frame
 *   array of these          a message of that many frames (1 or more)
 *
 * A message has plain frames, or a codec's value in the last one:
 *
 *   frames    frame…                      no codec
 *   body      value                       PUSH, PULL, REQ, REP, DEALER, PAIR
 *   topic     topic | value               PUB, SUB
 *   routed    routing id | frame… | value ROUTER
 */
import { invalidArgument } from "../core/arguments.js";
import { bytesOf, isBytes, isTransferred } from "../core/bytes.js";
import { InvalidArgumentError, InvalidMessageError, ShoalError } from "../core/errors.js";
import type { OutgoingFrame, OutgoingMessage } from "../engine/engine.js";
import type { InvalidReason } from "../engine/events.js";
import type { Codec } from "./codec.js";

export type MessageLike = ArrayBufferView | ArrayBuffer | SharedArrayBuffer | string | number | null;

export type Message = Buffer;

const EMPTY = Buffer.alloc(0);
/** Bytes of a frame that no engine cuts into parts. */
const WHOLE = 1_024;

/** @throws InvalidArgumentError `EINVAL` for anything that is no {@link MessageLike}, or is another thread's now */
export function toFrame(value: unknown): OutgoingFrame {
  // The most frequent kind.
  if (value instanceof Uint8Array) {
    if (value.length === 0 && value.buffer.byteLength === 0 && isTransferred(value)) refuseTransferred();
    if (value.length <= WHOLE || value.constructor === Buffer || value.constructor === Uint8Array)
      return value;
    // Parts of it would be made by the constructor of the program's class.
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (typeof value === "string") return value;
  if (value === null) return EMPTY;
  if (typeof value === "number") return String(value);
  // An array of another realm is converted; engines get only this one's.
  const bytes = readableBytesOf(value);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError(
    `A frame must be bytes, a string, a number or null; got ${Array.isArray(value) ? "an array" : typeof value}`,
  );
}

function readableBytesOf(value: unknown): Uint8Array | undefined {
  try {
    return bytesOf(value);
  } catch {
    return refuseTransferred();
  }
}

function refuseTransferred(): never {
  throw new InvalidArgumentError("A frame must have its memory; got bytes whose memory was transferred");
}

/** @throws InvalidArgumentError `EINVAL` for an empty array or an invalid frame */
export function toMessage(value: unknown): OutgoingMessage {
  if (!Array.isArray(value)) return toFrame(value);
  if (value.length === 0)
    throw new InvalidArgumentError("A message has at least one frame; got an empty array");
  const frames = new Array<OutgoingFrame>(value.length);
  for (let i = 0; i < value.length; i++) frames[i] = toFrame(value[i]);
  return frames;
}

/** Bytes without framing. */
export function byteLengthOf(message: OutgoingMessage): number {
  if (isBytes(message)) return message.length;
  if (typeof message === "string") return Buffer.byteLength(message);
  let total = 0;
  for (const frame of message) total += typeof frame === "string" ? Buffer.byteLength(frame) : frame.length;
  return total;
}

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
