/** Receives that take messages of the engine together. */
import { expect, test } from "vitest";
import { Context, Publisher, Pull, Push, type Socket, Subscriber } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";

const context = new Context({ engine: "zmtp" });
const own = closeAfterEach();

async function linked(to: Socket, from: Socket): Promise<void> {
  await to.bind("inproc://take-many");
  from.connect("inproc://take-many");
}

test.each<[string, (message: string[]) => string[]]>([
  ["as their frames", (message) => message],
  ["encoded", (message) => ["topic", ...message]],
])("a receive for many stops by what frames cost, the empty ones too: %s", async (how, make) => {
  const encoded = how === "encoded";
  const from = own(encoded ? new Publisher({ context }) : new Push({ context }));
  const to = own(encoded ? new Subscriber({ context }) : new Pull({ context }));
  if (to instanceof Subscriber) to.subscribe("");
  await linked(to, from);
  const message = make(Array.from({ length: 2_500 }, () => ""));
  for (let i = 0; i < 20; i++) await from.send(message);
  const sizes: number[] = [];
  for (let count = 0; count < 20; count += sizes.at(-1) as number)
    sizes.push((await to.receiveMany()).length);
  // 524,288 bytes: four times 165,000, of which the last may go past them.
  expect(Math.max(...sizes)).toBe(4);
});
