/** DGRAM: raw UDP datagrams; draft. */
import type { OptionsFor } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import { defineSocket } from "../define.js";
import type { MessageLike } from "../message.js";
import type { Readable } from "../readable.js";
import { Socket } from "../socket.js";
import type { ConstructionOptions, Properties } from "../socket-options.js";
import type { Writable } from "../writable.js";
import { DATAGRAM_FRAMES } from "./single-frame.js";

type DatagramProperties = OptionsFor<"Datagram">;

export type DatagramOptions = DatagramProperties & ConstructionOptions;

/**
 * Sends and receives datagrams, only over `udp://`: two frames, the other end's address and at most 8,192 bytes. Only
 * `bind` takes an endpoint.
 *
 * @example
 * ```ts
 * import { Datagram } from "shoal/draft";
 *
 * const [here, there] = [new Datagram(), new Datagram()];
 * await here.bind("udp://127.0.0.1:*");
 * const address = (await there.bind("udp://127.0.0.1:*")).replace("udp://", "");
 * await here.send([address, "ping"]);
 * const [, bytes] = await there.receive();
 * console.log(String(bytes)); // ping
 * await Promise.all([here.close(), there.close()]);
 * ```
 */
export class Datagram extends Socket {
  /** @throws InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` on the engine `libzmq` */
  constructor(options?: DatagramOptions);
  constructor(options?: DatagramOptions, ...extra: unknown[]) {
    super(SocketType.Datagram, options, DATAGRAM_FRAMES, extra);
  }
}
export interface Datagram
  extends Readable<[Buffer, Buffer]>,
    Writable<[MessageLike, MessageLike]>,
    Properties<DatagramProperties> {}
defineSocket(Datagram, "Datagram");
