/** PAIR (31/EXPAIR). */
import type { OptionsFor } from "../core/option-table.js";
import { SocketType } from "../core/socket-type.js";
import { PairRouting } from "../engine/zmtp/routing/pair.js";
import { defineSocket } from "./define.js";
import { type BodyIn, type BodyOut, type Raw, type Settled, shapeFor } from "./message.js";
import type { Readable } from "./readable.js";
import { Socket } from "./socket.js";
import type { CodecOptions, ConstructionOptions, Properties } from "./socket-options.js";
import type { Writable } from "./writable.js";

export type PairOptions<T = Raw> = OptionsFor<"Pair"> & ConstructionOptions & CodecOptions<T>;

/**
 * Talks to one peer, both ways; waits while it has no room (31/EXPAIR, The PAIR Socket Type).
 *
 * @example
 * ```ts
 * import { Pair } from "shoal";
 *
 * const bridge = new Pair();
 * const engineRoom = new Pair();
 * await bridge.bind("inproc://bridge");
 * engineRoom.connect("inproc://bridge");
 * await bridge.send("half ahead");
 * console.log(String(await engineRoom.receive())); // half ahead
 * await Promise.all([bridge.close(), engineRoom.close()]);
 * ```
 */
export class Pair<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options?: PairOptions<T>) {
    super(SocketType.Pair, options, shapeFor("body", options?.codec));
  }
}
export interface Pair<T = Raw>
  extends Readable<BodyIn<Settled<T>>>,
    Writable<BodyOut<Settled<T>>>,
    Properties<OptionsFor<"Pair">> {}
defineSocket(Pair, "Pair", (effects) => new PairRouting(effects));
