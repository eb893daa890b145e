/** Proxies use the memory of large messages again: what passes has to stay what it was, whichever side is slow. */
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { Publisher, Subscriber } from "../../src/index.js";
import { ForwarderProxy } from "../../src/proxy/index.js";
import { turn } from "../contract/support/wait.js";
import { ANY, back, front, LIMIT, useWorld } from "./support.js";

/** Of each: its number, and bytes that are not those of any other; lengths that fit no pool exactly. */
const COUNT = 300;
const messages = Array.from({ length: COUNT }, (_, i) => {
  const length = [40, 9_000, 33_000, 65_536, 70_001, 140_000][(i * 7) % 6] as number;
  const body = Buffer.alloc(length + (i % 5) * 100, createHash("sha256").update(String(i)).digest());
  body.writeUInt32BE(i);
  return body;
});

const PROBE = Buffer.of(1);

const world = useWorld("zmtp");

it("large messages of all sizes are what they were, through a forwarder to one subscriber that is quick and one that is slow", {
  timeout: 30_000,
}, async () => {
  const proxy = await world.start(
    new ForwarderProxy({ frontend: { bind: ANY }, backend: { bind: ANY, noDrop: true } }),
  );
  const publisher = world.peer(new Publisher({ noDrop: true }), front(proxy));
  const subscribers = await Promise.all(
    [1_000, 2].map(async (receiveHighWaterMark) => {
      const subscriber = world.socket(new Subscriber({ receiveHighWaterMark, receiveTimeout: LIMIT }));
      subscriber.subscribe();
      subscriber.connect(back(proxy));
      return subscriber;
    }),
  );
  // The proxy asks once for both: that both are there is known when both have heard.
  let heard = 0;
  const hearing = subscribers.map((subscriber) => subscriber.receive().then(() => heard++));
  for (; heard < 2; await turn()) await publisher.send(PROBE);
  await Promise.all(hearing);
  const sending = (async () => {
    for (const body of messages) await publisher.send(body);
  })();
  await Promise.all(
    subscribers.map(async (subscriber, which) => {
      for (let i = 0; i < COUNT; i++) {
        let [body] = await subscriber.receive();
        while (body?.length === PROBE.length) [body] = await subscriber.receive();
        if (!body?.equals(messages[i] as Buffer)) expect.fail(`message ${i} is not what was sent`);
        if (which === 1 && i % 10 === 0) for (let k = 0; k < 10; k++) await turn();
      }
    }),
  );
  await sending;
});
