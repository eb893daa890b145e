/** What peers leave behind is bounded: nobody new is let in until some of it was taken. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, it } from "vitest";
import { commandFrame, messageFrame } from "../../../src/engine/frame.js";
import { encodeCommand } from "../../../src/engine/zmtp/codec/command.js";
import { encodeGreeting } from "../../../src/engine/zmtp/codec/greeting.js";
import { encodeMetadata } from "../../../src/engine/zmtp/codec/metadata.js";
import { MAX_ORPHANED_PIPES } from "../../../src/engine/zmtp/routing/routing.js";
import { Context, Pull, Push } from "../../../src/index.js";

const READY = commandFrame(encodeCommand("READY", encodeMetadata([["Socket-Type", Buffer.from("PUSH")]])));

/** A PUSH that says one thing and leaves. */
async function visit(port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(Buffer.concat([encodeGreeting("NULL", false), READY]));
  let heard = 0;
  socket.on("data", (chunk: Buffer) => {
    const before = heard;
    heard += chunk.length;
    // Its greeting and READY are here: now it may be spoken to.
    if (before <= 66 && heard > 66) socket.end(messageFrame(Buffer.from("left behind")));
  });
  await once(socket, "close");
}

it("peers that leave unread messages keep newcomers out, until the program takes some", async () => {
  const context = new Context({ engine: "zmtp" });
  const pull = new Pull({ context, backlog: 1_024 });
  await pull.bind("tcp://127.0.0.1:*");
  const port = Number(pull.lastEndpoint?.split(":")[2]);
  let refused = 0;
  pull.events.on("accept:error", ({ error }) => {
    refused += error.code === "EMFILE" ? 1 : 0;
  });
  for (let round = 0; round * 64 < MAX_ORPHANED_PIPES; round++) {
    await Promise.all(Array.from({ length: 64 }, () => visit(port)));
  }
  while (pull.stats().receiveQueued < MAX_ORPHANED_PIPES || (pull.stats().peers ?? 0) > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const push = new Push({ context, reconnectInterval: 10, reconnectMaxInterval: 20 });
  const retried = new Promise((resolve) => push.events.on("connect:retry", resolve));
  push.connect(pull.lastEndpoint as string);
  await retried;
  expect(refused).toBeGreaterThan(0);
  expect(pull.stats().receiveQueued).toBe(MAX_ORPHANED_PIPES);
  await pull.receive();
  await push.ready({ timeout: 8_000 });
  await Promise.all([push.close({ linger: 0 }), pull.close({ linger: 0 })]);
}, 30_000);
