/** Abstract names by themselves, from bind to message. */
import { expect, it } from "vitest";
import { World } from "../../../contract/support/world.js";

const world = new World("zmtp", "tcp");

it.runIf(process.platform === "linux")("a message goes through local://NAME", async () => {
  const [pull, push] = [world.pull(), world.push()];
  const name = `local://shoal-local-${process.pid}`;
  expect(await pull.bind(name)).toBe(name);
  push.connect(name);
  await push.send("hello");
  expect(String(await pull.receive())).toBe("hello");
});
