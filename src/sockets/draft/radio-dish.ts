/** RADIO and DISH (48/RADIO-DISH): single-frame messages to members of a group; draft. */
import { InvalidArgumentError } from "../../core/errors.js";
import type { OptionsFor } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import * as routings from "../../engine/zmtp/routing/draft-routings.js";
import { defineSocket } from "../define.js";
import type { Raw, Settled } from "../message.js";
import type { Readable } from "../readable.js";
import { CORE, Socket } from "../socket.js";
import type { CodecOptions, ConstructionOptions, Properties } from "../socket-options.js";
import { type AddressedWritable, TO_GROUP } from "./addressed.js";
import {
  type AddressedIn,
  type GroupAddress,
  groupFrame,
  groupShape,
  type MessageGroup,
  type SingleOut,
  singleFrameShape,
} from "./single-frame.js";

export type RadioOptions<T = Raw> = OptionsFor<"Radio"> & ConstructionOptions & CodecOptions<T>;
export type DishOptions<T = Raw> = OptionsFor<"Dish"> & ConstructionOptions & CodecOptions<T>;

/**
 * Sends each message to every Dish in its group: `send(message, { group })`. Full Dishes miss it (48/RADIO-DISH, The
 * RADIO Socket Type).
 *
 * @example
 * ```ts
 * import { Dish, Radio } from "shoal/draft";
 *
 * const [radio, dish] = [new Radio(), new Dish()];
 * dish.join("weather");
 * dish.connect(await radio.bind("inproc://radio"));
 * await radio.send("storm", { group: "weather" });
 * console.log(String((await dish.receive())[0])); // storm
 * await Promise.all([radio.close(), dish.close()]);
 * ```
 */
export class Radio<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: RadioOptions<T>) {
    super(SocketType.Radio, options, singleFrameShape(options?.codec), arguments);
  }
}
export interface Radio<T = Raw>
  extends AddressedWritable<SingleOut<Settled<T>>, GroupAddress>,
    Properties<OptionsFor<"Radio">> {}
defineSocket(Radio, "Radio", routings.Radio, TO_GROUP);

/**
 * Receives messages of joined groups: `[message, { group }]` (48/RADIO-DISH, The DISH Socket Type).
 *
 * @example
 * ```ts
 * import { Dish, Radio } from "shoal/draft";
 *
 * const [radio, dish] = [new Radio(), new Dish()];
 * dish.join("tide");
 * dish.connect(await radio.bind("inproc://dish"));
 * await radio.send("low", { group: "tide" });
 * const [message, { group }] = await dish.receive();
 * console.log(`${group}: ${message}`); // tide: low
 * await Promise.all([radio.close(), dish.close()]);
 * ```
 */
export class Dish<T = Raw> extends Socket {
  readonly #groups = new Set<string>();

  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: DishOptions<T>) {
    super(SocketType.Dish, options, groupShape(options?.codec), arguments);
  }

  /**
   * Joins groups; messages match only the exact group.
   *
   * @param groups at most 255 bytes each, none zero
   * @throws InvalidArgumentError `EINVAL` for an invalid or already joined group: none is joined; ClosedError `EBADF`
   */
  join(...groups: (Uint8Array | string)[]): void {
    this.#change("subscribe", groups);
  }

  /** Leaves groups. @throws InvalidArgumentError `EINVAL` for a group not joined: none is left */
  leave(...groups: (Uint8Array | string)[]): void {
    this.#change("unsubscribe", groups);
  }

  #change(call: "subscribe" | "unsubscribe", groups: readonly (Uint8Array | string)[]): void {
    const core = this[CORE];
    core.assertOpen();
    const frames = groups.map(groupFrame);
    const keys = frames.map((frame) => frame.toString("latin1"));
    const joins = call === "subscribe";
    for (const [at, key] of keys.entries()) {
      if (this.#groups.has(key) !== joins && keys.indexOf(key) === at) continue;
      throw new InvalidArgumentError(
        `The Dish is ${joins ? "already in" : "not in"} the group ${JSON.stringify(frames[at]?.toString())}`,
      );
    }
    for (const [at, key] of keys.entries()) {
      core.engine.subscriptions?.[call](frames[at] as Buffer);
      if (joins) this.#groups.add(key);
      else this.#groups.delete(key);
    }
  }
}
export interface Dish<T = Raw>
  extends Readable<AddressedIn<Settled<T>, MessageGroup>>,
    Properties<OptionsFor<"Dish">> {}
defineSocket(Dish, "Dish", routings.Dish);
