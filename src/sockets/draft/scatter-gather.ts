/** SCATTER and GATHER (49/SCATTER-GATHER): single-frame messages; draft. */
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

export type ScatterOptions<T = Raw> = OptionsFor<"Scatter"> & ConstructionOptions & CodecOptions<T>;
export type GatherOptions<T = Raw> = OptionsFor<"Gather"> & ConstructionOptions & CodecOptions<T>;

/**
 * Sends each message to the next peer in turn; waits while none has room (49/SCATTER-GATHER, The SCATTER Socket Type).
 *
 * @example
 * ```ts
 * import { Gather, Scatter } from "shoal/draft";
 *
 * const [scatter, gather] = [new Scatter(), new Gather()];
 * gather.connect(await scatter.bind("tcp://127.0.0.1:*"));
 * await scatter.send("a task");
 * console.log(String((await gather.receive())[0])); // a task
 * await Promise.all([scatter.close(), gather.close()]);
 * ```
 */
export class Scatter<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: ScatterOptions<T>) {
    super(SocketType.Scatter, options, singleFrameShape(options?.codec), arguments);
  }
}
export interface Scatter<T = Raw>
  extends Writable<SingleOut<Settled<T>>>,
    Properties<OptionsFor<"Scatter">> {}
defineSocket(Scatter, "Scatter", routings.Scatter);

/**
 * Receives messages from its peers fairly (49/SCATTER-GATHER, The GATHER Socket Type).
 *
 * @example
 * ```ts
 * import { Gather, Scatter } from "shoal/draft";
 *
 * const [scatter, gather] = [new Scatter(), new Gather()];
 * scatter.connect(await gather.bind("tcp://127.0.0.1:*"));
 * await scatter.send("a result");
 * console.log(String((await gather.receive())[0])); // a result
 * await Promise.all([scatter.close(), gather.close()]);
 * ```
 */
export class Gather<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: GatherOptions<T>) {
    super(SocketType.Gather, options, singleFrameShape(options?.codec), arguments);
  }
}
export interface Gather<T = Raw> extends Readable<SingleIn<Settled<T>>>, Properties<OptionsFor<"Gather">> {}
defineSocket(Gather, "Gather", routings.Gather);
