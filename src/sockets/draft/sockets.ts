/**
 * CLIENT, SERVER and PEER (41/CLISRV, 51/P2P), RADIO and DISH (48/RADIO-DISH), SCATTER and GATHER (49/SCATTER-GATHER), CHANNEL
 * (52/CHANNEL): single-frame messages; draft.
 */
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import type { OptionsFor } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import { PairRouting } from "../../engine/zmtp/routing/pair.js";
import { PipelineRouting } from "../../engine/zmtp/routing/pipeline.js";
import { DishRouting, RadioRouting } from "../../engine/zmtp/routing/radio-dish.js";
import { ServerRouting } from "../../engine/zmtp/routing/router.js";
import { defineSocket } from "../define.js";
import type { Raw, Settled } from "../message.js";
import type { Readable } from "../readable.js";
import { CORE, Socket } from "../socket.js";
import type { CodecOptions, ConstructionOptions, Properties } from "../socket-options.js";
import type { Writable } from "../writable.js";
import {
  type AddressedIn,
  type AddressedWritable,
  type GroupAddress,
  groupFrame,
  groupShape,
  type MessageGroup,
  type PeerAddress,
  peerShape,
  type SingleIn,
  type SingleOut,
  singleFrameShape,
  TO_GROUP,
  TO_PEER,
} from "./single-frame.js";

export type {
  AddressedIn,
  AddressedWritable,
  GroupAddress,
  MessageGroup,
  PeerAddress,
  SingleIn,
  SingleOut,
} from "./single-frame.js";

type BothWays = OptionsFor<"Client" | "Server" | "Peer">;

export type ClientOptions<T = Raw> = BothWays & ConstructionOptions & CodecOptions<T>;
export type ServerOptions<T = Raw> = BothWays & ConstructionOptions & CodecOptions<T>;
export type PeerOptions<T = Raw> = BothWays & ConstructionOptions & CodecOptions<T>;

/**
 * Sends each message to the next server in turn, waiting while none has room, and receives from them fairly (41/CLISRV,
 * The CLIENT Socket Type).
 *
 * @example
 * ```ts
 * import { Client, Server } from "shoal/draft";
 *
 * const [server, client] = [new Server(), new Client()];
 * client.connect(await server.bind("tcp://127.0.0.1:*"));
 * await client.send("depth?");
 * const [, { routingId }] = await server.receive();
 * await server.send("12 m", { routingId });
 * console.log(String((await client.receive())[0])); // 12 m
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export class Client<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: ClientOptions<T>) {
    super(SocketType.Client, options, singleFrameShape(options?.codec));
  }
}
export interface Client<T = Raw>
  extends Readable<SingleIn<Settled<T>>>,
    Writable<SingleOut<Settled<T>>>,
    Properties<BothWays> {}
defineSocket(Client, "Client", (effects) => new PipelineRouting(effects, true, true));

/**
 * Addresses each client by a routing id, a 32-bit number of this socket's choice: `receive` returns `[message, {
 * routingId }]`, and `send(message, { routingId })` answers (41/CLISRV, The SERVER Socket Type).
 *
 * @example
 * ```ts
 * import { Client, Server } from "shoal/draft";
 *
 * const [server, client] = [new Server(), new Client()];
 * client.connect(await server.bind("tcp://127.0.0.1:*"));
 * await client.send("depth?");
 * const [question, { routingId }] = await server.receive();
 * await server.send(`${question} 12 m`, { routingId }); // To the client that asked.
 * console.log(String((await client.receive())[0])); // depth? 12 m
 * await Promise.all([client.close(), server.close()]);
 * ```
 */
export class Server<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: ServerOptions<T>) {
    super(SocketType.Server, options, peerShape(options?.codec));
  }
}
export interface Server<T = Raw>
  extends Readable<AddressedIn<Settled<T>, PeerAddress>>,
    AddressedWritable<SingleOut<Settled<T>>, PeerAddress>,
    Properties<BothWays> {}
defineSocket(Server, "Server", (effects) => new ServerRouting(effects), TO_PEER);

/**
 * Addresses other Peers by routing ids as a {@link Server} does, and can connect and speak first (51/P2P, The PEER
 * Socket Type).
 *
 * @example
 * ```ts
 * import { Peer } from "shoal/draft";
 *
 * const [north, south] = [new Peer(), new Peer()];
 * const routingId = south.connectPeer(await north.bind("tcp://127.0.0.1:*"));
 * await south.send("ahoy", { routingId });
 * const [message] = await north.receive();
 * console.log(String(message)); // ahoy
 * await Promise.all([north.close(), south.close()]);
 * ```
 */
export class Peer<T = Raw> extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: PeerOptions<T>) {
    super(SocketType.Peer, options, peerShape(options?.codec));
  }

  /**
   * Connects to an endpoint. Messages for the peer wait for the connection.
   *
   * @returns the peer's routing id on this socket, also after a reconnect
   * @throws InvalidStateError `EFSM` with `immediate`, since messages would not wait
   * @throws as `connect`
   */
  connectPeer(endpoint: string): number {
    const core = this[CORE];
    if (typeof endpoint !== "string")
      throw new InvalidArgumentError(`connectPeer takes an endpoint; got ${typeof endpoint}`);
    if (core.options.immediate)
      throw new InvalidStateError("EFSM", "connectPeer needs the option immediate to be false");
    const id = core.endpoints.connect(endpoint, undefined);
    return Buffer.from(id as Uint8Array).readUInt32BE();
  }
}
export interface Peer<T = Raw>
  extends Readable<AddressedIn<Settled<T>, PeerAddress>>,
    AddressedWritable<SingleOut<Settled<T>>, PeerAddress>,
    Properties<BothWays> {}
defineSocket(Peer, "Peer", (effects) => new ServerRouting(effects), TO_PEER);

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
    super(SocketType.Radio, options, singleFrameShape(options?.codec));
  }
}
export interface Radio<T = Raw>
  extends AddressedWritable<SingleOut<Settled<T>>, GroupAddress>,
    Properties<OptionsFor<"Radio">> {}
defineSocket(Radio, "Radio", (effects) => new RadioRouting(effects), TO_GROUP);

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
    super(SocketType.Dish, options, groupShape(options?.codec));
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
defineSocket(Dish, "Dish", (effects) => new DishRouting(effects));

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
    super(SocketType.Scatter, options, singleFrameShape(options?.codec));
  }
}
export interface Scatter<T = Raw>
  extends Writable<SingleOut<Settled<T>>>,
    Properties<OptionsFor<"Scatter">> {}
defineSocket(Scatter, "Scatter", (effects) => new PipelineRouting(effects, true, false));

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
    super(SocketType.Gather, options, singleFrameShape(options?.codec));
  }
}
export interface Gather<T = Raw> extends Readable<SingleIn<Settled<T>>>, Properties<OptionsFor<"Gather">> {}
defineSocket(Gather, "Gather", (effects) => new PipelineRouting(effects, false, true));

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
    super(SocketType.Channel, options, singleFrameShape(options?.codec));
  }
}
export interface Channel<T = Raw>
  extends Readable<SingleIn<Settled<T>>>,
    Writable<SingleOut<Settled<T>>>,
    Properties<OptionsFor<"Channel">> {}
defineSocket(Channel, "Channel", (effects) => new PairRouting(effects, "CHANNEL"));
