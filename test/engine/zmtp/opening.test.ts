/** What a socket that connects sends first, to a peer that waits for it. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { encodeGreeting, GREETING_SIZE } from "../../../src/engine/zmtp/codec/command.js";
import { World } from "../../contract/support/world.js";
import { greeting, ready } from "../../contract/support/zmtp-peer.js";
import { RawServer } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");

it("a socket that connects sends greeting and READY to a peer that says nothing, and no message before its READY", async () => {
  const server = new RawServer((socket) => socket.pause());
  const dealer = world.connect(world.dealer({ heartbeatInterval: 0 }), await server.listen(world));
  await dealer.send("hello");
  const socket = await server.first();
  const bytes = async (length: number): Promise<Buffer> => {
    let got = Buffer.alloc(0);
    socket.resume();
    while (got.length < length) got = Buffer.concat([got, (await once(socket, "data"))[0] as Buffer]);
    return got;
  };
  const opening = await bytes(GREETING_SIZE + 8);
  expect(opening.subarray(0, GREETING_SIZE)).toEqual(encodeGreeting("NULL", false));
  expect(opening).toHaveLength(GREETING_SIZE + 2 + (opening[GREETING_SIZE + 1] as number));
  const traffic = bytes(7);
  // The same as a ROUTER's opening, in pieces.
  socket.write(greeting());
  socket.write(ready("ROUTER"));
  expect((await traffic).toString("hex")).toBe("000568656c6c6f");
});
