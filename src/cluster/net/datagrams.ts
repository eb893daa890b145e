/**
 * A node's datagrams: a socket of the node, which also sends, and one for the group.
 *
 *   host scope   127.0.0.1; the group on the loopback interface, TTL 0. Datagrams from elsewhere are counted and dropped
 *   link scope   every interface, or one; the group with its TTL, on the interface of the node's address
 */
import type { RemoteInfo, Socket } from "node:dgram";
import { bindUdp, closeUdp, type UdpOptions } from "../../engine/zmtp/transport/udp.js";
import { MAX_PACKET } from "../bounds.js";
import type { Binding } from "./addresses.js";

export interface GroupAddress {
  readonly group: string;
  readonly port: number;
  /** 0: not beyond this host. */
  readonly ttl: number;
}

export interface DatagramOptions {
  /** Addresses to bind, one of each family; `undefined`: none. */
  readonly bind: Binding;
  readonly port: number;
  /** `undefined`: no multicast. */
  readonly group: GroupAddress | undefined;
  /** IPv4 address of the interface that joins the group at first, and sends to it; `undefined`: none. */
  readonly interface: string | undefined;
}

export type OnDatagram = (bytes: Buffer, host: string, port: number, byGroup: boolean) => void;

export class Datagrams {
  readonly #options: DatagramOptions;
  readonly #onDatagram: OnDatagram;
  readonly #count: (reason: string) => void;
  #socket: Socket | undefined;
  #socket6: Socket | undefined;
  #groupSocket: Socket | undefined;
  /** Interface in the group, and the one that last failed to join it. */
  #joined: string | undefined;
  #failed: string | undefined;
  #updating = false;
  #unsent = 0;
  #closed = false;

  constructor(options: DatagramOptions, onDatagram: OnDatagram, count: (reason: string) => void) {
    this.#options = options;
    this.#onDatagram = onDatagram;
    this.#count = count;
  }

  /** @throws TransportError `EADDRINUSE` and the system's other codes */
  async open(): Promise<void> {
    const { bind, port } = this.#options;
    const read = (bytes: Buffer, { address, port }: RemoteInfo): void =>
      this.#onDatagram(bytes, address, port, false);
    if (bind.v4 !== undefined)
      this.#socket = await this.#bind({ address: bind.v4, port, exclusive: true }, false, read);
    if (bind.v6 !== undefined)
      this.#socket6 = await this.#bind({ address: bind.v6, port, exclusive: true, ipv6: true }, false, read);
    await this.setInterface(this.#options.interface);
  }

  /**
   * Called with each poll of the interfaces, and passed over while an earlier call runs. Never rejects: without the group
   * a node still has its seeds.
   */
  async setInterface(address: string | undefined): Promise<void> {
    if (this.#updating) return;
    this.#updating = true;
    try {
      await this.#useInterface(address);
    } catch {
      this.#count("group"); // The next poll tries again.
    }
    this.#updating = false;
  }

  /** @throws TransportError if a socket cannot be opened */
  async #useInterface(address: string | undefined): Promise<void> {
    const { group } = this.#options;
    if (group === undefined || this.#socket === undefined) return;
    if (address !== this.#joined) this.#leaveGroup();
    if (address === undefined) return;
    const read = (bytes: Buffer, { address, port }: RemoteInfo): void =>
      this.#onDatagram(bytes, address, port, true);
    const groupSocket = this.#groupSocket ?? (await this.#bind({ port: group.port }, true, read));
    if (this.#closed || this.#socket === undefined) {
      if (this.#groupSocket === undefined) groupSocket.close();
      return;
    }
    this.#groupSocket = groupSocket;
    this.#joined = address;
    try {
      // Again each time: another interface may have the address by now.
      groupSocket.addMembership(group.group, address);
    } catch (error) {
      if ((error as { readonly code?: string }).code !== "EADDRINUSE") {
        // An interface without multicast, or one that is down.
        if (this.#failed !== address) this.#count("group");
        this.#failed = address;
        this.#leaveGroup();
        return;
      }
    }
    this.#failed = undefined;
    this.#socket.setMulticastTTL(group.ttl);
    this.#socket.setMulticastLoopback(true);
    this.#socket.setMulticastInterface(address);
  }

  #leaveGroup(): void {
    this.#groupSocket?.close();
    this.#groupSocket = undefined;
    this.#joined = undefined;
  }

  get hasGroup(): boolean {
    return this.#groupSocket !== undefined;
  }

  send(bytes: Buffer, host: string, port: number): void {
    const socket = host.includes(":") ? this.#socket6 : this.#socket;
    if (socket !== undefined) this.#sendBy(socket, bytes, host, port);
    else this.#count("send:address");
  }

  multicast(bytes: Buffer): void {
    const { group } = this.#options;
    if (group === undefined || this.#groupSocket === undefined || this.#socket === undefined) return;
    this.#sendBy(this.#socket, bytes, group.group, group.port);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sockets = [this.#socket, this.#socket6, this.#groupSocket];
    this.#socket = undefined;
    this.#socket6 = undefined;
    this.#groupSocket = undefined;
    await Promise.all(sockets.map(closeUdp));
  }

  #sendBy(socket: Socket, bytes: Buffer, host: string, port: number): void {
    if (this.#closed) return;
    if (bytes.length > MAX_PACKET) {
      this.#count("send:oversized");
      return;
    }
    if (this.#unsent >= 1_024) {
      this.#count("send:full");
      return;
    }
    this.#unsent += 1;
    socket.send(bytes, port, host, this.#onSent);
  }

  #onSent = (error: Error | null): void => {
    this.#unsent -= 1;
    if (error !== null && !this.#closed) this.#count("send:failed");
  };

  async #bind(
    options: UdpOptions,
    shares: boolean,
    onMessage: (bytes: Buffer, from: RemoteInfo) => void,
  ): Promise<Socket> {
    const socket = await bindUdp(options, shares);
    socket.on("error", () => this.#count("socket"));
    socket.on("message", onMessage);
    try {
      // The system may give less.
      socket.setRecvBufferSize(4_194_304);
    } catch {
      // The system's own size then.
    }
    return socket;
  }
}
