// @ts-check
/**
 * The edge between two clusters: a proxy that passes only what subscribers outside ask for. The command line has the same:
 * shoal proxy forwarder --frontend-connect cluster:prices --backend "tcp://*:*" --backend-advertise prices …
 */
import assert from "node:assert/strict";
import { Publisher, Subscriber } from "shoal";
import { ClusterNode } from "shoal/cluster";
import { ForwarderProxy } from "shoal/proxy";

/** @param {string} name @param {string} cluster */
async function join(name, cluster) {
  const node = new ClusterNode({ name, cluster: `example-${cluster}-${process.pid}` });
  await node.start();
  return node;
}

// Inside: a publisher of prices and of wages.
const office = await join("office", "inside");
const publisher = new Publisher();
office.advertise("feed", publisher);
await publisher.bind("tcp://127.0.0.1:*");

// The edge is in both clusters.
const [inner, outer] = [await join("edge", "inside"), await join("edge", "outside")];
const proxy = new ForwarderProxy({
  frontend: { connect: inner.resolver({ has: ["feed"] }) },
  backend: { bind: "tcp://127.0.0.1:*" },
});
await proxy.start();
outer.announce({ feed: proxy.endpoints.backend }, proxy);

// Outside: somebody who wants prices, and knows no address inside.
const guest = await join("guest", "outside");
const subscriber = new Subscriber();
subscriber.subscribe("price");
subscriber.connect(guest.resolver({ has: ["feed"] }));

await publisher.waitForSubscribers();
await publisher.send(["wage", "4000"]);
await publisher.send(["price", "12"]);
const [topic, price] = await subscriber.receive();
assert.deepEqual([String(topic), String(price)], ["price", "12"]);
const { messages } = proxy.stats().frontend.in;
assert.equal(messages, 1); // The wage did not even reach the edge.
console.log(`price ${price}; ${messages} message passed the edge`);

await subscriber.close();
await outer.drain(); // Withdrawn, drained, closed.
await publisher.close();
await Promise.all([office, inner, outer, guest].map((node) => node.leave()));
