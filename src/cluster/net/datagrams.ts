/**
 * A node's datagrams: one socket for what is meant for this node, from which all it says goes out, and one for the group.
 *
 *   host scope   127.0.0.1; the group on the loopback interface, TTL 0. What comes from elsewhere is counted and dropped
 *   link scope   every interface, or one; the group with TTL 1
 *
 * A bound on what waits to be sent: beyond it, datagrams are dropped and counted, as a network would.
 */
import type { RemoteInfo, Socket } from "node:dgram";
import { bindUdp, type UdpOptions } from "../../engine/zmtp/transport/udp.js";
import { MAX_PACKET } from "../bounds.js";
import type { DatagramOptions, OnDatagram, PacketSocket } from "./packet-socket.js";

/** Datagrams that the system has not taken yet. */
const MAX_UNSENT = 1_024;
/** Bytes that the system keeps for the node while its event loop is busy; the system may give less. */
const RECEIVE_BUFFER = 4_194_304;

export class Datagrams implements PacketSocket {
  readonly #options: DatagramOptions;
  readonly #onDatagram: OnDatagram;
  readonly #count: (reason: string) => void;
  #socket: Socket | undefined;
  #groupSocket: Socket | undefined;
  /** For interfaces but the first. */
  readonly #senders: Socket[] = [];
  #unsent = 0;
  #closed = false;

  constructor(options: DatagramOptions, onDatagram: OnDatagram, count: (reason: string) => void) {
    this.#options = options;
    this.#onDatagram = onDatagram;
    this.#count = count;
  }

  /** @throws TransportError `EADDRINUSE` and the system's other codes */
  async open(): Promise<void> {
    const { bind, port, group, interfaces, ttl } = this.#options;
    this.#socket = await this.#bind(
      { address: bind, port, exclusive: true },
      false,
      (bytes, { address, port }) => this.#onDatagram(bytes, address, port, false),
    );
    if (group === undefined) return;
    const [first, ...others] = interfaces;
    const groupSocket = await this.#bind({ port: group.port }, true, (bytes, { address, port }) =>
      this.#onDatagram(bytes, address, port, true),
    );
    this.#groupSocket = groupSocket;
    let joined = 0;
    for (const each of interfaces) {
      try {
        groupSocket.addMembership(group.group, each);
        joined += 1;
      } catch {
        this.#count("group"); // An interface without multicast.
      }
    }
    if (joined === 0) {
      groupSocket.close();
      this.#groupSocket = undefined;
      return;
    }
    if (first !== undefined) this.#sendsToGroup(this.#socket, first, ttl);
    for (const each of others) {
      const sender = await this.#bind({ address: each, port: 0, exclusive: true }, false, () => undefined);
      this.#senders.push(sender);
      this.#sendsToGroup(sender, each, ttl);
    }
  }

  /** Whether the group can be reached. */
  get hasGroup(): boolean {
    return this.#groupSocket !== undefined;
  }

  send(bytes: Buffer, host: string, port: number): void {
    if (this.#socket !== undefined) this.#sendBy(this.#socket, bytes, host, port);
  }

  multicast(bytes: Buffer): void {
    const { group } = this.#options;
    if (group === undefined || this.#groupSocket === undefined || this.#socket === undefined) return;
    for (const socket of [this.#socket, ...this.#senders])
      this.#sendBy(socket, bytes, group.group, group.port);
  }

  beat(): void {} // The event loop answers for itself.

  rekey(): void {}

  async close(): Promise<void> {
    this.#closed = true;
    const sockets = [this.#socket, this.#groupSocket, ...this.#senders];
    this.#socket = undefined;
    this.#groupSocket = undefined;
    await Promise.all(
      sockets.map((socket) => socket && new Promise<void>((resolve) => void socket.close(() => resolve()))),
    );
  }

  #sendBy(socket: Socket, bytes: Buffer, host: string, port: number): void {
    if (this.#closed) return;
    if (bytes.length > MAX_PACKET) {
      this.#count("send:oversized");
      return;
    }
    if (this.#unsent >= MAX_UNSENT) {
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

  #sendsToGroup(socket: Socket, interfaceAddress: string, ttl: number): void {
    try {
      socket.setMulticastTTL(ttl);
      socket.setMulticastLoopback(true);
      socket.setMulticastInterface(interfaceAddress);
    } catch {
      this.#count("group");
    }
  }

  async #bind(
    options: UdpOptions,
    shares: boolean,
    onMessage: (bytes: Buffer, from: RemoteInfo) => void,
  ): Promise<Socket> {
    const socket = await bindUdp(options, shares);
    socket.on("error", () => this.#count("socket"));
    socket.on("message", onMessage);
    try {
      socket.setRecvBufferSize(RECEIVE_BUFFER);
    } catch {
      // The system's own size then.
    }
    return socket;
  }
}
