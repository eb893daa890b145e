/** STREAM: raw TCP (zmq_socket(3), ZMQ_STREAM). */
import { InvalidArgumentError } from "../core/errors.js";
import type { OptionsFor } from "../core/option-table.js";
import { SocketType } from "../core/socket-type.js";
import { StreamRouting } from "../engine/zmtp/routing/router.js";
import { defineSocket } from "./define.js";
import type { EndpointSource } from "./endpoint-source.js";
import { type MessageLike, type MessageShape, toMessage } from "./message.js";
import type { Readable } from "./readable.js";
import { CORE, Socket } from "./socket.js";
import type { ConstructionOptions, Properties } from "./socket-options.js";
import type { Writable } from "./writable.js";

export type StreamOptions = OptionsFor<"Stream"> & ConstructionOptions;

export interface StreamConnectOptions {
  /** The peer's routing id on this socket. */
  routingId?: string;
}

/** libzmq would take a third frame for another message's routing id. */
const STREAM_FRAMES: MessageShape = {
  encode(value) {
    const message = toMessage(value);
    if (Array.isArray(message) && message.length === 2) return message;
    throw new InvalidArgumentError(
      `A STREAM's message must be [routingId, bytes]; got ${Array.isArray(value) ? value.length : 1} frames`,
    );
  },
  decode: (frames) => frames,
};

/**
 * Sends and receives pieces of TCP streams in two frames: the peer's routing id, and bytes. Empty bytes report a
 * connection's start or end when received, and end it when sent.
 *
 * @example
 * ```ts
 * import { connect } from "node:net";
 * import { Stream } from "shoal";
 *
 * const stream = new Stream();
 * const endpoint = await stream.bind("tcp://127.0.0.1:*");
 * const client = connect(Number(endpoint.split(":").at(-1)), "127.0.0.1");
 * client.end("hello");
 * await stream.receive(); // The peer has come: its second frame is empty.
 * const [, bytes] = await stream.receive();
 * console.log(String(bytes)); // hello
 * await stream.close({ linger: 0 });
 * client.destroy();
 * ```
 */
export class Stream extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: StreamOptions) {
    super(SocketType.Stream, options, STREAM_FRAMES);
  }

  /**
   * Connects to a TCP endpoint; `routingId` names the peer there.
   *
   * @throws InvalidArgumentError `EINVAL`; otherwise as `connect` of {@link Socket}
   */
  override connect(endpoint: string | EndpointSource, options: StreamConnectOptions = {}): void {
    this[CORE].endpoints.connectNamed(endpoint, options);
  }
}
export interface Stream
  extends Readable<[Buffer, Buffer]>,
    Writable<[MessageLike, MessageLike]>,
    Properties<OptionsFor<"Stream">> {}
defineSocket(Stream, "Stream", (effects) => new StreamRouting(effects));
