/** PUSH and PULL (30/PIPELINE). */
import type { OptionsFor } from "../core/option-table.js";
import { SocketType } from "../core/socket-type.js";
import { PipelineRouting } from "../engine/zmtp/routing/pipeline.js";
import { defineSocket } from "./define.js";
import { type BodyIn, type BodyOut, type Raw, type Settled, shapeFor } from "./message.js";
import type { Readable } from "./readable.js";
import { Socket } from "./socket.js";
import type { CodecOptions, ConstructionOptions, Properties } from "./socket-options.js";
import type { Writable } from "./writable.js";

export type PushOptions<T = Raw> = OptionsFor<"Push"> & ConstructionOptions & CodecOptions<T>;
export type PullOptions<T = Raw> = OptionsFor<"Pull"> & ConstructionOptions & CodecOptions<T>;

/**
 * Sends each message to the next peer in turn; waits while none has room (30/PIPELINE, The PUSH Socket Type).
 *
 * @example
 * ```ts
 * import { Pull, Push } from "shoal";
 *
 * const push = new Push();
 * const endpoint = await push.bind("tcp://127.0.0.1:*");
 * const workers = [new Pull(), new Pull()];
 * for (const worker of workers) worker.connect(endpoint);
 * await push.ready({ peers: 2 });
 * for (const task of ["mend", "paint"]) await push.send(task); // One for each.
 * const dealt = await Promise.all(workers.map((worker) => worker.receive()));
 * console.log(dealt.map(String).sort().join()); // mend,paint
 * await Promise.all([push, ...workers].map((socket) => socket.close()));
 * ```
 */
export class Push<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: PushOptions<T>) {
    super(SocketType.Push, options, shapeFor("body", options?.codec));
  }
}
export interface Push<T = Raw> extends Writable<BodyOut<Settled<T>>>, Properties<OptionsFor<"Push">> {}
defineSocket(Push, "Push", (effects) => new PipelineRouting(effects, true, false));

/**
 * Receives messages from its peers fairly (30/PIPELINE, The PULL Socket Type).
 *
 * @example
 * ```ts
 * import { Pull, Push } from "shoal";
 *
 * const pull = new Pull();
 * const push = new Push();
 * push.connect(await pull.bind("tcp://127.0.0.1:*"));
 * for (const letter of "abc") await push.send(letter);
 * for await (const [frame] of pull) {
 *   console.log(String(frame));
 *   if (String(frame) === "c") break;
 * }
 * await Promise.all([push.close(), pull.close()]);
 * ```
 */
export class Pull<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: PullOptions<T>) {
    super(SocketType.Pull, options, shapeFor("body", options?.codec));
  }
}
export interface Pull<T = Raw> extends Readable<BodyIn<Settled<T>>>, Properties<OptionsFor<"Pull">> {}
defineSocket(Pull, "Pull", (effects) => new PipelineRouting(effects, false, true));
