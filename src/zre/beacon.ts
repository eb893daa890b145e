/**
 * Beacons over UDP broadcast on one interface, as in zyre. All nodes of a host share the receiving port; the sending
 * socket is bound to the interface's address, since peers dial a beacon's source. Loopback's broadcast address is
 * 127.255.255.255; zyre never uses loopback.
 */
import type { Socket } from "node:dgram";
import { quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import { ignore } from "../core/waiter.js";
import type { HostInterface } from "../engine/zmtp/transport/transports.js";
import { bindUdp, closeUdp, sendUdp } from "../engine/zmtp/transport/udp.js";

/** The network that beacons go to, and come from. */
export interface BeaconNetwork {
  readonly address: string;
  readonly broadcast: string;
  readonly internal: boolean;
  includes(address: string): boolean;
}

const number = (address: string): number =>
  address.split(".").reduce((sum, part) => (sum << 8) | Number(part), 0) >>> 0;
const dotted = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join(".");

/**
 * Default: the first interface except loopback, else loopback.
 *
 * @param wanted name or address
 * @throws InvalidArgumentError `EINVAL` if it is missing
 */
export function beaconNetwork(
  interfaces: readonly HostInterface[],
  wanted: string | undefined,
): BeaconNetwork {
  const found =
    wanted === undefined
      ? (interfaces.find(({ internal }) => !internal) ?? interfaces[0])
      : interfaces.find(({ name, address }) => name === wanted || address === wanted);
  if (found === undefined)
    throw new InvalidArgumentError(
      wanted === undefined
        ? "this machine has no interface with an IPv4 address"
        : `no interface is called ${quoted(wanted)} or has this IPv4 address`,
    );
  const mask = number(found.netmask ?? "255.255.255.0");
  const base = (number(found.address) & mask) >>> 0;
  // One or two addresses have no broadcast address.
  const broadcast = mask >= 0xfffffffe ? "255.255.255.255" : dotted((base | ~mask) >>> 0);
  const includes =
    mask >= 0xfffffffe ? () => true : (address: string) => (number(address) & mask) >>> 0 === base;
  return { address: found.address, broadcast, internal: found.internal, includes };
}

export class BeaconSockets {
  readonly #network: BeaconNetwork;
  readonly #port: number;
  readonly #onBeacon: (bytes: Buffer, address: string) => void;
  readonly #count: (reason: string) => void;
  #listener: Socket | undefined;
  #sender: Socket | undefined;

  /** @param count of beacons that the system refused (`beacon-failed`), and of those from elsewhere (`outside`) */
  constructor(
    network: BeaconNetwork,
    port: number,
    onBeacon: (bytes: Buffer, address: string) => void,
    count: (reason: string) => void = ignore,
  ) {
    this.#network = network;
    this.#port = port;
    this.#onBeacon = onBeacon;
    this.#count = count;
  }

  /** @throws TransportError `EADDRINUSE` if another program has the port exclusively, or another code of the system */
  async open(): Promise<void> {
    try {
      this.#listener = await bindUdp({ port: this.#port }, true);
      this.#sender = await bindUdp({ address: this.#network.address, port: 0, exclusive: true }, false);
      this.#sender.setBroadcast(true);
    } catch (error) {
      await this.close();
      throw error;
    }
    for (const socket of [this.#listener, this.#sender]) socket?.on("error", this.#socketOnError);
    this.#listener?.on("message", (bytes, { address }) => {
      if (this.#network.includes(address)) this.#onBeacon(bytes, address);
      else this.#count("outside");
    });
  }

  async send(bytes: Buffer): Promise<boolean> {
    if (this.#sender === undefined) return false;
    const isSent = await sendUdp(this.#sender, bytes, this.#port, this.#network.broadcast);
    if (!isSent) this.#count("beacon-failed");
    return isSent;
  }

  async close(): Promise<void> {
    const sockets = [this.#listener, this.#sender];
    this.#listener = undefined;
    this.#sender = undefined;
    await Promise.all(sockets.map(closeUdp));
  }

  #socketOnError = (): void => this.#count("beacon-failed");
}
