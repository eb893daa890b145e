/** Messages in a stream of bytes without frames: the comparison of a link's channel with a socket of node:net. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { Bodies, StreamChecker } from "../../bodies.js";
import type { Side } from "../node/side.js";
import { connect, listen } from "./endpoints.js";
import { end } from "./stream.js";

/** Checks received bytes, measured from the end of the warm-up to the last one. */
export function bytesChecker(side: Side): StreamChecker & { readonly finished: Promise<void> } {
  const total = side.warmup + side.count;
  const first = Math.max(1, side.warmup);
  let seen = 0;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const checker = new StreamChecker(side.size, side.warmup, () => {
    if (++seen === first) side.begin();
    if (seen !== total) return;
    side.end();
    finish();
  });
  return Object.assign(checker, { finished });
}

export async function writeBytes(side: Side, stream: Duplex): Promise<void> {
  const bodies = new Bodies(side.size);
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    if (!stream.write(bodies.make(k))) await once(stream, "drain");
  }
}

export async function bytesConsumer(side: Side): Promise<void> {
  const checker = bytesChecker(side);
  const sockets: Duplex[] = [];
  const { server, endpoint } = await listen(side, 1, (socket) => {
    sockets.push(socket);
    socket.on("data", (piece: Buffer) => checker.take(piece));
  });
  await side.ready(endpoint);
  await checker.finished;
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
  await end(server, sockets as never);
}

export async function bytesProducer(side: Side): Promise<void> {
  const socket = await connect(side);
  await side.ready();
  await writeBytes(side, socket);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  socket.destroy();
}
