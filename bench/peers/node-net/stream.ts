/** One way: throughput, fan-in, a slow consumer. Memory is bounded by the sockets' own buffers. */
import { once } from "node:events";
import type { Server, Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { Bodies } from "../../bodies.js";
import { StrideChecker } from "../../sequences.js";
import { Receiving } from "../node/receiving.js";
import type { Side } from "../node/side.js";
import { connect, listen } from "./endpoints.js";
import { FrameReader, FrameWriter } from "./framing.js";

export async function end(server: Server, sockets: Iterable<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, "close");
}

export async function consumer(side: Side): Promise<void> {
  const peers = side.number("peers", 1);
  const { size, warmup, count } = side;
  const checker = peers === 1 ? side.checker() : new StrideChecker(size, warmup, count, peers);
  const { receiving, stream } = Receiving.one(side, checker);
  const rate = side.number("rate", 0);
  const sockets = new Set<Socket>();
  const { server, endpoint } = await listen(side, (socket) => {
    sockets.add(socket);
    let from = 0;
    const reader = new FrameReader((body) => {
      stream.take(body);
      if (stream.seen === warmup) from = performance.now();
    });
    socket.on("data", (chunk: Buffer) => {
      reader.take(chunk);
      if (rate === 0 || stream.seen < warmup) return;
      // One chunk at a time: the kernel's buffer is the queue that makes the producer wait.
      const ahead = from + ((stream.seen - warmup) / rate) * 1e3 - performance.now();
      if (ahead < 1) return;
      socket.pause();
      void setTimeout(ahead).then(() => socket.resume());
    });
  });
  await side.ready(endpoint);
  await receiving.done();
  await end(server, sockets);
}

export async function producer(side: Side): Promise<void> {
  const count = side.number("sockets", 1);
  const peers = side.number("peers", 1);
  const sockets = await Promise.all(Array.from({ length: count }, () => connect(side)));
  await side.ready();
  const rss = process.memoryUsage.rss();
  const bodies = new Bodies(side.size);
  const total = side.warmup + side.count;
  let sent = 0;
  const work = async (socket: Socket, sender: number) => {
    const writer = new FrameWriter(socket);
    for (let k = sender; k < total; k += peers) {
      if (k >= side.warmup && sent++ === 0) side.begin();
      if (writer.write(bodies.make(k))) continue;
      const full = writer.flush();
      if (full !== undefined) await full;
    }
    await writer.flush();
  };
  await Promise.all(sockets.map((socket, i) => work(socket, side.index * count + i)));
  const rssGrowth = Math.max(0, process.resourceUsage().maxRSS * 1024 - rss);
  await side.done({ messages: sent, bytes: sent * side.size, extra: { rssGrowth } });
  for (const socket of sockets) socket.destroy();
}
