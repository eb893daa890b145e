/** Peers of bare bytes, those that listen among them, and a way to fill a peer's queue. */
import { once } from "node:events";
import { createServer, type Socket as NetSocket, type Server, type ServerOpts } from "node:net";
import type { Socket } from "../../../../src/index.js";
import { turn, until } from "../../../contract/support/wait.js";
import type { World } from "../../../contract/support/world.js";
import { greeting, type RawPeer, ready } from "../../../contract/support/zmtp-peer.js";

/** A peer that listens and does what a test says; its connections are read unless paused. */
export class RawServer {
  readonly connections: NetSocket[] = [];
  readonly ended = new Set<NetSocket>();
  #server: Server | undefined;
  port = 0;

  constructor(
    readonly onConnection: (socket: NetSocket) => void = (socket) => socket.resume(),
    readonly options: ServerOpts = {},
  ) {}

  async listen(world: World): Promise<string> {
    const server = createServer(this.options, (socket) => {
      this.connections.push(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.ended.add(socket));
      this.onConnection(socket);
    });
    this.#server = server;
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.port = (server.address() as { port: number }).port;
    world.after(() => this.end());
    return `tcp://127.0.0.1:${this.port}`;
  }

  end(): void {
    this.#server?.close();
    for (const socket of this.connections) socket.destroy();
  }

  /** The first connection is there. */
  async first(): Promise<NetSocket> {
    await until(() => this.connections.length > 0, "a connection");
    return this.connections[0] as NetSocket;
  }

  /** All its connections have ended. */
  async left(): Promise<void> {
    await until(() => this.ended.size === this.connections.length, "the connections' ends", 2_000);
  }
}

/** A peer that has said its READY, of the socket at an endpoint, or of one that is bound for it. */
export async function shaken(world: World, at: string | Socket, socketType: string): Promise<RawPeer> {
  const peer = await world.raw(typeof at === "string" ? at : await world.bind(at));
  await peer.handshake(socketType);
  return peer;
}

/** Greets, says READY, and reads nothing. */
export const mutePull = (socket: NetSocket): void => {
  socket.pause();
  socket.write(Buffer.concat([greeting(), ready("PULL")]));
};

/** Sends until nothing is taken for some turns. @returns how many were taken */
export async function fill(
  socket: Socket & { trySend(message: Buffer): boolean },
  size = 200_000,
): Promise<number> {
  let taken = 0;
  for (let idle = 0; idle < 30; await turn()) {
    if (socket.trySend(Buffer.alloc(size))) {
      taken += 1;
      idle = 0;
    } else idle += 1;
  }
  return taken;
}
