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
  const { server, endpoint } = await listen(side, side.number("backlog", 511), (socket) => {
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

/** Writes a copy of each message for each connection, as the links of a cluster's node do. */
export async function copier(side: Side): Promise<void> {
  const sockets: Socket[] = [];
  const peers = side.number("nodes", 1);
  const { server, endpoint } = await listen(side, side.number("backlog", 511), (socket) => {
    sockets.push(socket);
  });
  await side.ready(endpoint);
  while (sockets.length < peers) await once(server, "connection");
  const bodies = new Bodies(side.size);
  const writers = sockets.map((socket) => new FrameWriter(socket));
  let before = process.cpuUsage();
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) before = process.cpuUsage();
    const body = bodies.make(k);
    for (const writer of writers) {
      if (writer.write(body)) continue;
      const full = writer.flush();
      if (full !== undefined) await full;
    }
  }
  for (const writer of writers) await writer.flush();
  const { user, system } = process.cpuUsage(before);
  await side.done({
    messages: side.count,
    bytes: side.count * side.size,
    extra: { microsecondsPerCopy: (user + system) / side.count / peers },
  });
  await end(server, sockets);
}

export function copyReaders(side: Side): Promise<void> {
  return subscriber(side, side.number("each", 1));
}

export async function subscriber(side: Side, connections = side.number("sockets", 1)): Promise<void> {
  const checkers = Array.from({ length: connections }, () => side.checker());
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
