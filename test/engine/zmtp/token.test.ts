/** The mechanism TOKEN, from socket to socket. */
import { expect, it } from "vitest";
import { nextEvent } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

const world = new World("zmtp", "tcp");

it("a peer with the same token gets in, one with another does not", async () => {
  const pull = world.pull({ token: "ahoy" });
  const endpoint = await world.bind(pull);
  const [friend, stranger] = [world.push({ token: "ahoy" }), world.push({ token: "guess" })];
  friend.connect(endpoint);
  await friend.send("hello");
  expect(String(await pull.receive())).toBe("hello");
  const refused = nextEvent(stranger, "peer:refused");
  stranger.connect(endpoint);
  stranger.linger = 0;
  await refused;
});
