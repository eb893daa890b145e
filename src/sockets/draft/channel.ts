/** CHANNEL (52/CHANNEL): two peers, single-frame messages; draft. */
import type { OptionsFor } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import * as routings from "../../engine/zmtp/routing/draft-routings.js";
import { defineSocket } from "../define.js";
import type { Raw, Settled } from "../message.js";
import type { Readable } from "../readable.js";
import { Socket } from "../socket.js";
import type { CodecOptions, ConstructionOptions, Properties } from "../socket-options.js";
import type { Writable } from "../writable.js";
import { type SingleIn, type SingleOut, singleFrameShape } from "./single-frame.js";

export type ChannelOptions<T = Raw> = OptionsFor<"Channel"> & ConstructionOptions & CodecOptions<T>;

/**
 * Talks to one peer, both ways; waits while it has no room (52/CHANNEL, The CHANNEL Socket Type).
 *
 * @example
 * ```ts
 * import { Channel } from "shoal/draft";
 *
 * const [left, right] = [new Channel(), new Channel()];
 * await left.bind("inproc://channel");
 * right.connect("inproc://channel");
 * await left.send("hello");
 * console.log(String((await right.receive())[0])); // hello
 * await Promise.all([left.close(), right.close()]);
 * ```
 */
export class Channel<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: ChannelOptions<T>) {
    super(SocketType.Channel, options, singleFrameShape(options?.codec), arguments);
  }
}
export interface Channel<T = Raw>
  extends Readable<SingleIn<Settled<T>>>,
    Writable<SingleOut<Settled<T>>>,
    Properties<OptionsFor<"Channel">> {}
defineSocket(Channel, "Channel", routings.Channel);
