/** What a message costs while nobody observes it: so many reads of one property, which are counted. */
import { expect, it, onTestFinished } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { CHANNELS } from "./support/collector.js";

const MESSAGES = 100;

const own = closeAfterEach();

it("a message that nobody observes costs three reads between sockets", async () => {
  const [push, pull] = [own(new Push()), own(new Pull())];
  push.connect(await pull.bind("tcp://127.0.0.1:0"));
  await push.ready();
  expect(CHANNELS.length).toBeGreaterThan(10);
  let reads = 0;
  const get = (): boolean => reads++ < 0;
  for (const channel of CHANNELS)
    Object.defineProperty(channel, "hasSubscribers", { configurable: true, get });
  onTestFinished(() => {
    for (const channel of CHANNELS) Reflect.deleteProperty(channel, "hasSubscribers");
  });
  for (let i = 0; i < MESSAGES; i++) {
    await push.send("x");
    await pull.receive();
  }
  expect(reads / MESSAGES).toBeLessThanOrEqual(3);
  expect(reads).toBeGreaterThan(0);
});
