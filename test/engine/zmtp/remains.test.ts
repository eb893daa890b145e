/** What peers leave behind is bounded: nobody new is let in until some of it was taken. */
import { expect, it } from "vitest";
import { MAX_ORPHANED_PIPES } from "../../../src/engine/zmtp/routing/routing.js";
import { Context, Pull, Push } from "../../../src/index.js";
import { frame, RawPeer } from "../../contract/support/zmtp-peer.js";

/** A PUSH that says one thing and leaves. */
async function visit(endpoint: string): Promise<void> {
  const peer = await RawPeer.connect(endpoint);
  await peer.handshake("PUSH");
  peer.write(frame("left behind"));
  peer.socket.end();
  await peer.closed;
}

it("peers that leave unread messages keep newcomers out, until the program takes some", async () => {
  const context = new Context({ engine: "zmtp" });
  const pull = new Pull({ context, backlog: 1_024 });
  const endpoint = await pull.bind("tcp://127.0.0.1:*");
  let refused = 0;
  pull.events.on("accept:error", ({ error }) => {
    refused += error.code === "EMFILE" ? 1 : 0;
  });
  for (let round = 0; round * 64 < MAX_ORPHANED_PIPES; round++) {
    await Promise.all(Array.from({ length: 64 }, () => visit(endpoint)));
  }
  while (pull.stats().receiveQueued < MAX_ORPHANED_PIPES || (pull.stats().peers ?? 0) > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const push = new Push({ context, reconnectInterval: 10, reconnectMaxInterval: 20 });
  const retried = new Promise((resolve) => push.events.on("connect:retry", resolve));
  push.connect(endpoint);
  await retried;
  expect(refused).toBeGreaterThan(0);
  expect(pull.stats().receiveQueued).toBe(MAX_ORPHANED_PIPES);
  await pull.receive();
  await push.ready({ timeout: 8_000 });
  await Promise.all([push.close({ linger: 0 }), pull.close({ linger: 0 })]);
}, 120_000);
