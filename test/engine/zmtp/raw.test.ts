/** A STREAM's connections as those of other sockets: without memory for a piece, and when they are revoked. */
import { expect, it, vi } from "vitest";
import { CORE } from "../../../src/sockets/socket.js";
import { nextEvent } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

const world = new World("zmtp", "tcp");
const WAIT = { timeout: 8_000 };

it("without memory for a piece the connection ends, and what follows is another's", async () => {
  const stream = world.stream();
  const endpoint = await world.bind(stream);
  const peers = [await world.raw(endpoint), await world.raw(endpoint)] as const;
  for (let i = 0; i < 2; i++) await stream.receive(WAIT);
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
  peers[1].write(Buffer.from("still here"));
  expect(String((await stream.receive(WAIT))[1])).toBe("still here");
});

it("a raw peer is listed by its own address, and revoked by it", async () => {
  const stream = world.stream();
  const { socket: peer, closed } = await world.raw(await world.bind(stream));
  await stream.receive(WAIT);
  expect(stream[CORE].engine.listPeers?.(2)).toMatchObject([
    { address: `tcp://127.0.0.1:${peer.localPort}`, socketType: "" },
  ]);
  expect(stream.revoke(({ address }) => address === "127.0.0.2")).toBe(0);
  expect(stream.revoke(({ address, mechanism }) => address === "127.0.0.1" && mechanism === "NULL")).toBe(1);
  expect((await stream.receive(WAIT))[1]).toHaveLength(0); // Its end.
  await closed;
});
