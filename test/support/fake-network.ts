/**
 * Joins the sockets of a fake engine by endpoint, with high-water marks: enough
 * of each pattern to run the socket classes end to end without a network.
 *
 *   PUSH, DEALER, PAIR, XSUB   to the next peer with room; mute without one
 *   PUB, XPUB                  to each peer that subscribed; a full one misses it
 *   ROUTER                     by the first frame; the receiver's frames begin with the sender's id
 */
import { TransportError } from "../../src/core/errors.js";
import { SocketType } from "../../src/core/socket-type.js";
import { OfferResult, type OutgoingFrame, type OutgoingMessage } from "../../src/engine/engine.js";
import type { FakeSocket } from "./fake-engine.js";

interface Node {
  readonly id: Buffer;
  readonly peers: FakeSocket[];
  readonly subscriptions: Buffer[];
  next: number;
}

export class FakeNetwork {
  readonly #bound = new Map<string, FakeSocket>();
  readonly #nodes = new Map<FakeSocket, Node>();

  bind(socket: FakeSocket, endpoint: string): string {
    if (this.#bound.has(endpoint)) {
      throw new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the address is in use`, { endpoint });
    }
    this.#bound.set(endpoint, socket);
    this.#node(socket);
    socket.listener.engineOnEvent({ type: "bind", address: endpoint });
    return endpoint;
  }

  unbind(socket: FakeSocket, endpoint: string): void {
    if (this.#bound.get(endpoint) !== socket) throw notThere("unbind", endpoint);
    this.#bound.delete(endpoint);
  }

  connect(socket: FakeSocket, endpoint: string): void {
    const other = this.#bound.get(endpoint);
    if (other === undefined) throw notThere("connect", endpoint);
    this.#join(socket, other);
    this.#join(other, socket);
    for (const end of [socket, other]) {
      end.listener.engineOnEvent({ type: "peer:join", address: endpoint });
      end.tellWritable();
    }
    this.#announce(socket, other);
    this.#announce(other, socket);
  }

  disconnect(socket: FakeSocket, endpoint: string): void {
    const other = this.#bound.get(endpoint);
    if (other === undefined) throw notThere("disconnect", endpoint);
    this.#part(socket, other);
  }

  leave(socket: FakeSocket): void {
    for (const peer of [...(this.#nodes.get(socket)?.peers ?? [])]) this.#part(socket, peer);
    for (const [endpoint, owner] of this.#bound) if (owner === socket) this.#bound.delete(endpoint);
    this.#nodes.delete(socket);
  }

  subscribe(socket: FakeSocket, prefix: Buffer, on: boolean): void {
    const node = this.#node(socket);
    if (on) node.subscriptions.push(prefix);
    else {
      const at = node.subscriptions.findIndex((known) => known.equals(prefix));
      if (at >= 0) node.subscriptions.splice(at, 1);
    }
    const type = on ? "subscribe" : "unsubscribe";
    for (const peer of node.peers) peer.listener.engineOnEvent({ type, topic: prefix });
  }

  /** @returns what became of the message, or `undefined` for a socket that was never bound or connected */
  route(socket: FakeSocket, message: OutgoingMessage): OfferResult | undefined {
    const node = this.#nodes.get(socket);
    if (node === undefined) return undefined;
    const frames = toWire(message);
    if (socket.type === SocketType.Router) return this.#toNamed(node, frames);
    if (socket.type === SocketType.Publisher || socket.type === SocketType.XPublisher) {
      for (const peer of node.peers) {
        const matches = this.#node(peer).subscriptions.some((prefix) => startsWith(frames[0], prefix));
        if (matches && hasRoom(peer)) this.#hand(node, peer, frames);
      }
      return OfferResult.Accepted;
    }
    for (let i = 0; i < node.peers.length; i++) {
      const at = (node.next + i) % node.peers.length;
      const peer = node.peers[at] as FakeSocket;
      if (!hasRoom(peer)) continue;
      node.next = at + 1;
      this.#hand(node, peer, frames);
      return OfferResult.Accepted;
    }
    return OfferResult.Mute;
  }

  /** The socket has taken a message: its peers may send again. */
  taken(socket: FakeSocket): void {
    for (const peer of this.#nodes.get(socket)?.peers ?? []) peer.tellWritable();
  }

  writable(socket: FakeSocket): boolean | undefined {
    return this.#nodes.get(socket)?.peers.some(hasRoom);
  }

  #toNamed(node: Node, frames: Buffer[]): OfferResult {
    const [id, ...rest] = frames;
    const peer = node.peers.find((candidate) => this.#node(candidate).id.equals(id as Buffer));
    if (peer === undefined) return OfferResult.Unroutable;
    if (!hasRoom(peer)) return OfferResult.PeerFull;
    this.#hand(node, peer, rest);
    return OfferResult.Accepted;
  }

  #hand(from: Node, to: FakeSocket, frames: Buffer[]): void {
    to.arrive(to.type === SocketType.Router ? [from.id, ...frames] : frames);
  }

  #announce(subscriber: FakeSocket, publisher: FakeSocket): void {
    for (const topic of this.#node(subscriber).subscriptions)
      publisher.listener.engineOnEvent({ type: "subscribe", topic });
  }

  #join(socket: FakeSocket, peer: FakeSocket): void {
    this.#node(socket).peers.push(peer);
    socket.peers += 1;
  }

  #part(one: FakeSocket, other: FakeSocket): void {
    for (const [socket, peer] of [
      [one, other],
      [other, one],
    ] as const) {
      const peers = this.#node(socket).peers;
      peers.splice(peers.indexOf(peer), 1);
      socket.peers -= 1;
      socket.listener.engineOnEvent({ type: "peer:leave", address: "fake", reason: "local" });
    }
  }

  #node(socket: FakeSocket): Node {
    let node = this.#nodes.get(socket);
    if (node === undefined) {
      const given = socket.options.routingId as string | Uint8Array | null | undefined;
      const id = given ? Buffer.from(given as string) : Buffer.from([0, this.#nodes.size + 1]);
      node = { id, peers: [], subscriptions: [], next: 0 };
      this.#nodes.set(socket, node);
    }
    return node;
  }
}

function hasRoom(socket: FakeSocket): boolean {
  const mark = Number(socket.options.receiveHighWaterMark ?? 0);
  return mark === 0 || socket.incoming.length < mark;
}

function toWire(message: OutgoingMessage): Buffer[] {
  const single = typeof message === "string" || message instanceof Uint8Array;
  const frames = single ? [message as OutgoingFrame] : (message as readonly OutgoingFrame[]);
  return frames.map((frame) => Buffer.from(frame as string));
}

function startsWith(frame: Buffer | undefined, prefix: Buffer): boolean {
  return frame?.subarray(0, prefix.length).equals(prefix) === true;
}

function notThere(doing: string, endpoint: string): TransportError {
  return new TransportError("ENOENT", `Cannot ${doing} ${endpoint}: nothing is there`, { endpoint });
}
