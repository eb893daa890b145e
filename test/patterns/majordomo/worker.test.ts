/** A worker whose broker sends it away with more behind. */
import { expect, it } from "vitest";
import { Router } from "../../../src/index.js";
import { MajordomoWorker } from "../../../src/patterns/majordomo/index.js";

const [HEARTBEAT, DISCONNECT] = [Buffer.of(5), Buffer.of(6)];

it("connects again after its reconnectInterval, also where other messages came with the DISCONNECT", async () => {
  const broker = new Router();
  const worker = new MajordomoWorker(await broker.bind("tcp://127.0.0.1:*"), "echo", (frames) => frames, {
    protocol: "0.2",
    heartbeatInterval: 60_000,
    reconnectInterval: 10,
  });
  const [peer] = await broker.receive();
  for (const command of [HEARTBEAT, DISCONNECT, HEARTBEAT])
    broker.trySend([peer as Buffer, "MDPW02", command]);
  const [again, , ready] = await broker.receive();
  expect([again?.equals(peer as Buffer), ready]).toEqual([false, Buffer.of(1)]);
  await Promise.all([worker.close({ linger: 0 }), broker.close({ linger: 0 })]);
});
