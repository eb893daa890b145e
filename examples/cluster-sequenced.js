// @ts-check
/** Sequenced publishers that come and go in a cluster: a late subscriber gets the messages that it missed from their publisher. */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";
import { SequencedPublisher, SequencedSubscriber } from "shoal/sequenced";

const cluster = `example-sequenced-${process.pid}`;
const ANY = "tcp://127.0.0.1:*";

/** @param {string} name */
async function publish(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const publisher = new SequencedPublisher();
  node.announce({ prices: await publisher.bind(ANY), replays: await publisher.bindReplay(ANY) }, publisher);
  return { node, publisher };
}

const oslo = await publish("oslo");
for (const price of ["10", "11", "12"]) oslo.publisher.publish("wheat", price); // Nobody listens yet.

const guest = new ClusterNode({ name: "guest", cluster });
await guest.start();
const subscriber = new SequencedSubscriber();
/** @type {Promise<string[]>[]} */
const replays = [];
for (const type of /** @type {const} */ (["stream:joined-late", "gap:detected"]))
  subscriber.events.on(type, (range) => {
    replays.push(subscriber.replay(range).then(({ messages }) => messages.map(({ body }) => String(body))));
  });
subscriber.subscribe("wheat");
subscriber.connect(guest.resolver({ has: ["prices"] }), guest.resolver({ has: ["replays"] }));

await oslo.publisher.waitForSubscribers();
oslo.publisher.publish("wheat", "13");
const live = [String((await subscriber.receive()).body)];
// Another one comes, and the first goes: it publishes nothing more, and is withdrawn.
const rome = await publish("rome");
await rome.publisher.waitForSubscribers();
await oslo.node.drain();
await oslo.node.leave();
rome.publisher.publish("wheat", "14");
live.push(String((await subscriber.receive()).body));

const missed = (await Promise.all(replays)).flat();
console.log(`live ${live.join(", ")}; again ${missed.join(", ")}`);
assert.deepEqual(
  [live, missed],
  [
    ["13", "14"],
    ["10", "11", "12"],
  ],
);
await subscriber.close();
await rome.node.drain();
await Promise.all([rome.node.leave(), guest.leave()]);
