/**
 * Messages of draft sockets: one frame. The engine gets the address as first frame, the program passes it as an
 * option.
 *
 *   CLIENT, SCATTER, GATHER, CHANNEL     body
 *   SERVER, PEER                         id, 4 bytes, big-endian | body   [body, { routingId }]
 *   RADIO, DISH                          group | body                     [body, { group }]
 */

import { checkCallOptions, checkInteger, invalidArgument } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError, UnroutableError } from "../../core/errors.js";
import type { OutgoingFrame } from "../../engine/engine.js";
import { MAX_DATAGRAM, MAX_GROUP } from "../../engine/frame.js";
import { byteLengthOf, FRAMES, type MessageLike, type MessageShape, type Raw, shapeFor } from "../message.js";
import { checkMemory, SEND_OPTIONS, type SendOptions, TRY_OPTIONS } from "../outbox.js";
import { CORE, type HasCore, type SocketCore } from "../socket-core.js";
import type { WritableOptions } from "../socket-options.js";

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
  const frame = Buffer.allocUnsafe(4);
  frame.writeUInt32BE(checkInteger("routingId", routingId, 1, MAX_ROUTING_ID));
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

/** Sends messages of type `M` with an address of type `A`. */
export interface AddressedWritable<M, A> extends Required<WritableOptions> {
  /**
   * Sends a message of one frame, whole or not at all.
   *
   * Without `copy` the socket owns the bytes: do not change them afterwards.
   *
   * @param options address, memory and wait; only a Radio with `noDrop` waits for room
   * @returns settled when the engine has the message
   * @throws InvalidArgumentError `EINVAL`; ClosedError `EBADF`, `EAGAIN`; AbortedError `ABORT_ERR`: the message was not
   *   sent
   * @throws InvalidMessageError `ERR_INVALID_MESSAGE` if the codec or its schema refuses the message
   * @throws UnroutableError `EHOSTUNREACH` without a connected peer of this routing id (Server, Peer)
   * @throws TimeoutError `EAGAIN` for a full peer (Server, Peer), or after `sendTimeout` or `timeout`
   */
  send(message: M, options: A & SendOptions): Promise<void>;
  /**
   * Sends a message if that is possible at once.
   *
   * @returns `false` if there is no room
   * @throws as {@link send}, except for waiting
   */
  trySend(message: M, options: A & Pick<SendOptions, "copy" | "transfer">): boolean;
}

type FrameOf = (options: Readonly<Record<string, unknown>>) => Buffer;

function checkOptions(call: string, options: unknown, known: readonly string[]): void {
  const given = typeof options === "object" && options !== null && !ArrayBuffer.isView(options);
  if (!given) {
    throw invalidArgument(`${call} takes a message and an object with its ${known[0]}`, options);
  }
  checkCallOptions(call, options, known);
  checkMemory(options);
}

/** @throws InvalidArgumentError, also for a message larger than a datagram where messages leave as such */
function addressed(core: SocketCore, address: Buffer, body: unknown): OutgoingFrame[] {
  const message = [address, core.encode(body) as OutgoingFrame];
  const length = core.endpoints.datagrams ? 1 + byteLengthOf(message) : 0;
  if (length > MAX_DATAGRAM)
    throw new InvalidArgumentError(
      `A datagram has at most ${MAX_DATAGRAM} bytes, group and its length included; got ${length}`,
    );
  return message;
}

function methodsOf(
  name: string,
  frameOf: FrameOf,
): Omit<AddressedWritable<unknown, object>, keyof WritableOptions> & ThisType<HasCore> {
  const known = [name, ...SEND_OPTIONS];
  const knownAtOnce = [name, ...TRY_OPTIONS];
  return {
    send(message, options) {
      const core = this[CORE];
      let frames: OutgoingFrame[];
      try {
        core.assertFree();
        checkOptions("send", options, known);
        frames = addressed(core, frameOf(options as Record<string, unknown>), message);
      } catch (error) {
        return Promise.reject(error);
      }
      return core.outbox.send(frames, options, false);
    },
    trySend(message, options) {
      const core = this[CORE];
      core.assertFree();
      checkOptions("trySend", options, knownAtOnce);
      const frames = addressed(core, frameOf(options as Record<string, unknown>), message);
      if (name === "group") return core.outbox.trySend(frames, options);
      const result = core.outbox.tryDeliver(frames, options);
      if (result === "gone") throw new UnroutableError("No peer with this routing id is connected");
      return result === "sent";
    },
  };
}

/** @internal */
export const TO_PEER: object = methodsOf("routingId", ({ routingId }) => routingIdFrame(routingId));
/** @internal */
export const TO_GROUP: object = methodsOf("group", ({ group }) => groupFrame(group));
