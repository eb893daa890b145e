// @ts-check
/** Messages over a cluster: topics, answers to their sender, a retained value, without any address or server. */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";

const cluster = `messages-${process.pid}`; // Of this program alone.
const hall = new ClusterNode({ name: "hall", cluster });
const kitchen = new ClusterNode({ name: "kitchen", cluster });

const joined = [hall, kitchen].map((node) => new Promise((resolve) => node.events.once("joined", resolve)));
await Promise.all([hall.start(), kitchen.start()]);
await Promise.all(joined); // Each knows the other one.

// The kitchen answers each order to its sender.
const orders = kitchen.subscribe("orders/+/new", async ({ topic, data, sender }) => {
  await kitchen.sendTo(sender, `${topic}: ${data} is ready`, { subtopic: "ready" });
});
await orders.ready; // All members that the kitchen knows have it.

const ready = hall.subscribe("self", { subtopic: "ready" });
assert.equal(await hall.publish("orders/7/new", "soup"), 1);
for await (const { data } of ready) {
  console.log(String(data));
  assert.equal(String(data), "orders/7/new: soup is ready");
  break;
}

// A retained value: who subscribes later has it at once.
await kitchen.publish("menu/today", "soup", { retain: true });
for await (const { data } of hall.subscribe("menu/#", { retained: true })) {
  assert.equal(String(data), "soup");
  break;
}

// A client with an id of its own. When it is closed, a message to it is dropped at its node, and later ones fail at once.
const waiter = hall.createClient("waiter");
const calls = waiter.subscribe("self");
await kitchen.sendTo(waiter.address, "table 7");
for await (const { data } of calls) {
  assert.equal(String(data), "table 7");
  break;
}
waiter.close();
const insist = async () => {
  for (;;) await kitchen.sendTo(waiter.address, "table 8");
};
await assert.rejects(insist(), { code: "EHOSTUNREACH" });

await Promise.all([hall.close(), kitchen.close()]);
