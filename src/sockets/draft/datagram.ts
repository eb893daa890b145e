/** DGRAM: raw UDP datagrams, HOST:PORT | body; draft. */
import { isIP } from "node:net";
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { OptionsFor } from "../../core/option-table.js";
import { SocketType } from "../../core/socket-type.js";
import { MAX_DATAGRAM } from "../../engine/frame.js";
import { PairRouting } from "../../engine/zmtp/routing/pair.js";
import { defineSocket } from "../define.js";
import { byteLengthOf, type MessageLike, type MessageShape, toFrame } from "../message.js";
import type { Readable } from "../readable.js";
import { Socket } from "../socket.js";
import type { ConstructionOptions, Properties } from "../socket-options.js";
import type { Writable } from "../writable.js";

export type DatagramOptions = OptionsFor<"Datagram"> & ConstructionOptions;

/** An address as `receive` returns it: `10.0.0.1:5555`, `[::1]:5555`. */
function isAddress(text: string): boolean {
  const [, v4, v6, port] = /^(?:([\d.]+)|\[([^\]]+)\]):(\d{1,5})$/.exec(text) ?? [];
  const known = v4 === undefined ? isIP((v6 ?? "").split("%", 1)[0] as string) === 6 : isIP(v4) === 4;
  return known && Number(port) >= 1 && Number(port) <= 65_535;
}

const DATAGRAM_FRAMES: MessageShape = {
  encode(value) {
    if (!Array.isArray(value) || value.length !== 2)
      throw invalidArgument("A Datagram's message must be [address, bytes]", value);
    const [address, body] = [toFrame(value[0]), toFrame(value[1])];
    const text = typeof address === "string" ? address : Buffer.from(address).toString();
    if (!isAddress(text)) {
      throw invalidArgument(
        "A Datagram's message begins with an address such as 10.0.0.1:5555 or [::1]:5555",
        text,
      );
    }
    const length = byteLengthOf(body);
    if (length > MAX_DATAGRAM)
      throw new InvalidArgumentError(`A datagram has at most ${MAX_DATAGRAM} bytes; got ${length}`);
    return [address, body];
  },
  decode: (frames) => frames,
};

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
  constructor(options?: DatagramOptions) {
    super(SocketType.Datagram, options, DATAGRAM_FRAMES);
  }
}
export interface Datagram
  extends Readable<[Buffer, Buffer]>,
    Writable<[MessageLike, MessageLike]>,
    Properties<OptionsFor<"Datagram">> {}
defineSocket(Datagram, "Datagram", (effects) => new PairRouting(effects));
