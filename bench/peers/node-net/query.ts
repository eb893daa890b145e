/** One side asks N processes at once, and each answers: the reference for a query of as many services. */
import { setTimeout as pause } from "node:timers/promises";
import { answerFloor, Floor, questionsTo, timesOf } from "../node/floor.js";
import type { Side } from "../node/side.js";
import { connect } from "./endpoints.js";

/** ms between checks of the number of connections. */
const LOOK = 10;

export async function asker(side: Side): Promise<void> {
  const floor = new Floor();
  await side.ready(`tcp://127.0.0.1:${await floor.listen()}`);
  const expected = side.number("nodes", 1);
  while (floor.size < expected) await pause(LOOK);
  const latencies = await timesOf(side, () => floor.ask());
  const slowestMilliseconds = await floor.slowest();
  floor.close();
  await side.done({
    messages: side.count * expected,
    bytes: 0,
    latency: latencies.table,
    extra: { slowestMilliseconds },
  });
}

/** Connections of this process. Its processor time is that of the measured questions. */
export async function services(side: Side): Promise<void> {
  const sockets = await Promise.all(Array.from({ length: side.number("each", 1) }, () => connect(side)));
  const asked = questionsTo(sockets.length, side);
  for (const socket of sockets) answerFloor(socket).on("data", asked);
  await side.ready();
  await side.stopped;
  for (const socket of sockets) socket.destroy();
  await side.done({ messages: 0, bytes: 0 });
}
