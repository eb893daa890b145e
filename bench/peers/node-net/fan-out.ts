/** One publisher to N connections: each batch is encoded once and written to all. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { Bodies } from "../../bodies.js";
import { Receiving } from "../node/receiving.js";
import type { Side } from "../node/side.js";
import { connect, listen } from "./endpoints.js";
import { FrameReader, FrameWriter } from "./framing.js";
import { end } from "./stream.js";

export async function publisher(side: Side): Promise<void> {
  const sockets: Socket[] = [];
  const peers = side.number("peers", 1);
  const { server, endpoint } = await listen(side, (socket) => {
    sockets.push(socket);
  });
  await side.ready(endpoint);
  while (sockets.length < peers) await once(server, "connection");
  const bodies = new Bodies(side.size);
  const writer = new FrameWriter(...sockets);
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    if (writer.write(bodies.make(k))) continue;
    const full = writer.flush();
    if (full !== undefined) await full;
  }
  await writer.flush();
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await end(server, sockets);
}

export async function subscriber(side: Side): Promise<void> {
  const checkers = Array.from({ length: side.number("sockets", 1) }, () => side.checker());
  const receiving = new Receiving(side, checkers);
  const sockets: Socket[] = [];
  for (const stream of receiving.streams) {
    const socket = await connect(side);
    const reader = new FrameReader((body) => void stream.take(body));
    sockets.push(socket.on("data", (chunk: Buffer) => reader.take(chunk)));
  }
  await side.ready();
  await receiving.done();
  for (const socket of sockets) socket.destroy();
}
