/**
 * Message shapes of draft sockets: one frame. The engine gets the address as first frame, the program passes it as an
 * option.
 *
 *   CLIENT, SCATTER, GATHER, CHANNEL     body
 *   SERVER, PEER                         id, 4 bytes, big-endian | body   [body, { routingId }]
 *   RADIO, DISH                          group | body                     [body, { group }]
 */

import { invalidArgument } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { OutgoingFrame } from "../../engine/engine.js";
import { MAX_GROUP } from "../../engine/frame.js";
import { FRAMES, type MessageLike, type MessageShape, type Raw, shapeFor } from "../message.js";

/** One frame to send: bytes, text or a codec's value, alone or as an array's only element. */
export type SingleOut<T> = [T] extends [Raw]
  ? MessageLike | readonly [MessageLike]
  : (T extends readonly unknown[] ? never : T) | readonly [T];
/** A received frame or codec's value, as only element. */
export type SingleIn<T> = [T] extends [Raw] ? [Buffer] : [T];
export type AddressedIn<T, A> = [T] extends [Raw] ? [Buffer, A] : [T, A];

export interface PeerAddress {
  /** 1 to 4,294,967,295; chosen by this socket, valid until the peer's connection ends. */
  readonly routingId: number;
}

export interface GroupAddress {
  /** At most 255 bytes, none zero. */
  readonly group: string | Uint8Array;
}

export interface MessageGroup {
  readonly group: Buffer;
}

const MAX_ROUTING_ID = 0xffff_ffff;

export function singleFrameShape(codec: unknown): MessageShape {
  const body = shapeFor("body", codec);
  return {
    encode(value) {
      if (!Array.isArray(value)) return body.encode(value);
      if (value.length !== 1)
        throw new InvalidArgumentError(`A message here must be one frame; got an array of ${value.length}`);
      const message = body.encode(body === FRAMES ? value[0] : value);
      return Array.isArray(message) ? (message[0] as OutgoingFrame) : message;
    },
    decode: body.decode,
  };
}

function addressedShape(
  codec: unknown,
  addressOf: (frame: Buffer) => PeerAddress | MessageGroup,
): MessageShape {
  const { encode, decode } = singleFrameShape(codec);
  return {
    encode,
    decode(frames, onInvalid) {
      const [address, body] = frames as [Buffer, Buffer];
      const value = decode([body], onInvalid) as [unknown] | undefined;
      return value === undefined ? undefined : [value[0], addressOf(address)];
    },
  };
}

export function peerShape(codec: unknown): MessageShape {
  return addressedShape(codec, (frame) => ({ routingId: frame.readUInt32BE() }));
}

export function groupShape(codec: unknown): MessageShape {
  return addressedShape(codec, (frame) => ({ group: frame }));
}

/** @throws InvalidArgumentError `EINVAL` */
export function routingIdFrame(routingId: unknown): Buffer {
  if (!Number.isInteger(routingId) || (routingId as number) < 1 || (routingId as number) > MAX_ROUTING_ID) {
    throw invalidArgument(
      `routingId must be a whole number from 1 to ${MAX_ROUTING_ID}, as receive returned it`,
      routingId,
    );
  }
  const frame = Buffer.allocUnsafe(4);
  frame.writeUInt32BE(routingId as number);
  return frame;
}

/** @throws InvalidArgumentError `EINVAL` */
export function groupFrame(group: unknown): Buffer {
  if (typeof group !== "string" && !isBytes(group))
    throw invalidArgument("group must be a string or bytes", group);
  const frame = Buffer.from(group as string);
  if (frame.length > MAX_GROUP)
    throw new InvalidArgumentError(`A group has at most ${MAX_GROUP} bytes; got ${frame.length}`);
  // libzmq compares groups up to their first zero byte.
  if (frame.includes(0)) throw invalidArgument("A group must not contain a zero byte", group);
  return frame;
}
