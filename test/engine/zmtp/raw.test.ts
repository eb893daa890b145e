/** What a STREAM does when this process has no memory for what a peer sent. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, it, vi } from "vitest";
import { nextEvent } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

const world = new World("zmtp", "tcp");
const WAIT = { timeout: 8_000 };

it("without memory for a piece the connection ends, and what follows is another's", async () => {
  const stream = world.stream();
  const port = Number((await world.bind(stream)).split(":")[2]);
  const peers = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")] as const;
  for (const peer of peers) {
    world.after(() => peer.destroy());
    await once(peer, "connect");
    await stream.receive(WAIT);
  }
  const ended = nextEvent(stream, "disconnect");
  const original = Buffer.allocUnsafeSlow;
  const spy = vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation((size) => {
    if (size > 5_000 && size < 5_100) throw new RangeError("Array buffer allocation failed");
    return original(size);
  });
  try {
    peers[0].write(Buffer.alloc(5_000, 1));
    expect((await ended).error).toMatchObject({ code: "ENOMEM" });
  } finally {
    spy.mockRestore();
  }
  expect((await stream.receive(WAIT))[1]).toHaveLength(0); // Its end.
  peers[1].write("still here");
  expect(String((await stream.receive(WAIT))[1])).toBe("still here");
});
