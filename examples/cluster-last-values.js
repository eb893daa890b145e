// @ts-check
/** Two last value caches in a cluster: publishers and subscribers are at both. One leaves, and a new subscriber has the last value of each topic. */
import assert from "node:assert/strict";
import { Publisher, Subscriber } from "shoal";
import { ClusterNode } from "shoal/cluster";
import { LastValueCache } from "shoal/last-value-cache";

const cluster = `example-values-${process.pid}`;
const ANY = "tcp://127.0.0.1:*";

/** @param {string} name */
async function keep(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const cache = new LastValueCache(); // `store: FOLDER` keeps the values over a restart.
  node.announce(
    { feeds: await cache.bind("frontend", ANY), values: await cache.bind("backend", ANY) },
    cache,
  );
  return { node, cache };
}

const [one, two] = await Promise.all([keep("one"), keep("two")]);
const guest = new ClusterNode({ name: "guest", cluster });
await guest.start();

const publisher = new Publisher();
publisher.connect(guest.resolver({ has: ["feeds"] }));
await publisher.waitForSubscribers({ count: 2 }); // Both caches ask for everything.

// Each value has a number: it comes by both caches.
await publisher.send(["weather/oslo", "1", "snow"]);
await publisher.send(["weather/rome", "2", "rain"]);
await publisher.send(["weather/rome", "3", "sun"]);
for (const { cache } of [one, two])
  while (cache.stats().messages < 3) await new Promise((resolve) => setTimeout(resolve, 5));
await one.node.drain();
await one.node.leave();

const subscriber = new Subscriber();
subscriber.subscribe("weather/");
subscriber.connect(guest.resolver({ has: ["values"] }));
const values = new Map();
while (values.size < 2) {
  const [topic, number, value] = await subscriber.receive();
  const known = values.get(String(topic));
  if (known === undefined || known.number < Number(number))
    values.set(String(topic), { number: Number(number), value: String(value) });
}
console.log([...values].map(([topic, { value }]) => `${topic}: ${value}`).join("\n"));
assert.equal(values.get("weather/rome").value, "sun");
assert.equal(values.get("weather/oslo").value, "snow");

await Promise.all([publisher.close(), subscriber.close()]);
await two.node.drain();
await Promise.all([two.node.leave(), guest.leave()]);
