/** Round trips: latency, and N clients of one server. */
import type { Socket } from "node:net";
import { askInTurn, type RoundTrip } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import { connect, listen } from "./endpoints.js";
import { FrameReader, FrameWriter } from "./framing.js";
import { end } from "./stream.js";

/** Echoes until it is stopped. */
export async function server(side: Side): Promise<void> {
  const sockets = new Set<Socket>();
  let echoed = 0;
  const { server, endpoint } = await listen(side, (socket) => {
    sockets.add(socket);
    const writer = new FrameWriter(socket);
    const reader = new FrameReader((body) => {
      writer.write(body);
      echoed += 1;
    });
    socket.on("data", (chunk: Buffer) => {
      reader.take(chunk);
      void writer.flush();
    });
  });
  await side.ready(endpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await end(server, sockets);
}

export async function client(side: Side): Promise<void> {
  const count = side.number("sockets", 1);
  const sockets = await Promise.all(Array.from({ length: count }, () => connect(side)));
  await askInTurn(side, sockets.map(roundTrip));
  for (const socket of sockets) socket.destroy();
}

function roundTrip(socket: Socket): RoundTrip {
  const writer = new FrameWriter(socket);
  let onReply: (reply: Buffer) => void = () => undefined;
  const reader = new FrameReader((reply) => onReply(reply));
  socket.on("data", (chunk: Buffer) => reader.take(chunk));
  return (body) =>
    new Promise((resolve) => {
      onReply = resolve;
      writer.write(body);
      void writer.flush();
    });
}
