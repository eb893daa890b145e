/** CLIENT, SERVER and PEER (41/CLISRV, 51/P2P): single-frame messages; draft. */
import { refuseExtra } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import type { OptionsFor } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import * as routings from "../../engine/zmtp/routing/draft-routings.js";
import { defineSocket } from "../define.js";
import type { Raw, Settled } from "../message.js";
import type { Readable } from "../readable.js";
import { CORE, Socket } from "../socket.js";
import type { CodecOptions, ConstructionOptions, Properties } from "../socket-options.js";
import type { Writable } from "../writable.js";
import { type AddressedWritable, TO_PEER } from "./addressed.js";
import {
  type AddressedIn,
  type PeerAddress,
  peerShape,
  type SingleIn,
  type SingleOut,
  singleFrameShape,
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
    super(SocketType.Client, options, singleFrameShape(options?.codec), arguments);
  }
}
export interface Client<T = Raw>
  extends Readable<SingleIn<Settled<T>>>,
    Writable<SingleOut<Settled<T>>>,
    Properties<BothWays> {}
defineSocket(Client, "Client", routings.Client);

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
    super(SocketType.Server, options, peerShape(options?.codec), arguments);
  }
}
export interface Server<T = Raw>
  extends Readable<AddressedIn<Settled<T>, PeerAddress>>,
    AddressedWritable<SingleOut<Settled<T>>, PeerAddress>,
    Properties<BothWays> {}
defineSocket(Server, "Server", routings.Server, TO_PEER);

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
    super(SocketType.Peer, options, peerShape(options?.codec), arguments);
  }

  /**
   * Connects to an endpoint. Messages for the peer wait for the connection.
   *
   * @returns the peer's routing id on this socket, also after a reconnect
   * @throws InvalidStateError `EFSM` with `immediate`, since messages would not wait
   * @throws as `connect`
   */
  connectPeer(endpoint: string): number {
    refuseExtra("connectPeer", "an endpoint", arguments, 1);
    const core = this[CORE];
    if (typeof endpoint !== "string")
      throw new InvalidArgumentError(`connectPeer takes an endpoint; got ${typeof endpoint}`);
    if (core.getOption("immediate") === true)
      throw new InvalidStateError("EFSM", "connectPeer needs the option immediate to be false");
    const id = core.endpoints.connect(endpoint, undefined);
    return Buffer.from(id as Uint8Array).readUInt32BE();
  }
}
export interface Peer<T = Raw>
  extends Readable<AddressedIn<Settled<T>, PeerAddress>>,
    AddressedWritable<SingleOut<Settled<T>>, PeerAddress>,
    Properties<BothWays> {}
defineSocket(Peer, "Peer", routings.Peer, TO_PEER);
