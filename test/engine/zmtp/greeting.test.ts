import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { encodeGreeting } from "../../../src/engine/zmtp/codec/greeting.js";
import { Pull } from "../../../src/index.js";

test("a peer that waits for the greeting before it says anything gets it", async () => {
  const pull = new Pull();
  const endpoint = new URL(await pull.bind("tcp://127.0.0.1:*"));
  const peer = connect(Number(endpoint.port), endpoint.hostname);
  try {
    const [bytes] = (await once(peer, "data")) as [Buffer];
    expect(bytes).toEqual(encodeGreeting("NULL", false));
  } finally {
    peer.destroy();
    await pull.close({ linger: 0 });
  }
}, 5_000);
