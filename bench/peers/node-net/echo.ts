/** Round trips: latency, and N clients of one server. */
import type { Socket } from "node:net";
import { Bodies, type Checker } from "../../bodies.js";
import { sumOfChecksums } from "../../sequences.js";
import { Latencies } from "../node/histogram.js";
import type { Side } from "../node/side.js";
import { connect, listen } from "./endpoints.js";
import { FrameReader, FrameWriter } from "./framing.js";
import { end } from "./stream.js";

/** Echoes. In the scenario latency the number of messages is known; in the others it works until it is stopped. */
export async function server(side: Side): Promise<void> {
  const total = side.scenario === "latency" ? side.warmup + side.count : Number.POSITIVE_INFINITY;
  const sockets = new Set<Socket>();
  let echoed = 0;
  let all: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => (all = resolve));
  const { server, endpoint } = await listen(side, side.number("backlog", 511), (socket) => {
    sockets.add(socket);
    const writer = new FrameWriter(socket);
    const reader = new FrameReader((body) => {
      writer.write(body);
      if (++echoed === total) all();
    });
    socket.on("data", (chunk: Buffer) => {
      reader.take(chunk);
      void writer.flush();
    });
  });
  await side.ready(endpoint);
  await Promise.race([side.stopped, answered]);
  const messages = total === echoed ? side.count : echoed;
  await side.done({ messages, bytes: messages * side.size });
  await end(server, sockets);
}

/** Each connection has one request in flight. Count and warm-up are per connection. */
export async function client(side: Side): Promise<void> {
  const count = side.number("sockets", 1);
  const sockets = await Promise.all(Array.from({ length: count }, () => connect(side)));
  const checkers = sockets.map(() => side.checker());
  const latencies = new Latencies();
  const bodies = new Bodies(side.size);
  let warmedUp = 0;
  await side.ready();
  const ask = (socket: Socket, checker: Checker) =>
    new Promise<void>((resolve, reject) => {
      const writer = new FrameWriter(socket);
      let seen = 0;
      let from = 0n;
      const next = () => {
        const body = bodies.make(seen);
        from = process.hrtime.bigint();
        writer.write(body);
        void writer.flush();
      };
      const reader = new FrameReader((reply) => {
        const nanoseconds = Number(process.hrtime.bigint() - from);
        checker.take(reply);
        if (seen >= side.warmup) latencies.record(nanoseconds);
        else if (++warmedUp === count * side.warmup) side.begin();
        if (++seen === side.warmup + side.count) resolve();
        else next();
      });
      socket.on("data", (chunk: Buffer) => {
        try {
          reader.take(chunk);
        } catch (error) {
          reject(error as Error);
        }
      });
      next();
    });
  await Promise.all(sockets.map((socket, i) => ask(socket, checkers[i] as Checker)));
  side.end();
  const messages = count * side.count;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map((checker) => checker.checksum)),
    ordered: checkers.every((checker) => checker.ordered),
    latency: latencies.table,
  });
  for (const socket of sockets) socket.destroy();
}
