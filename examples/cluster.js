// @ts-check
/** A cluster: nodes find each other without addresses, select each other by tags, and see who leaves. */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";

const cluster = `example-${process.pid}`; // Of this program alone.

/** @param {string} name @param {string[]} tags */
function create(name, ...tags) {
  return new ClusterNode({ name, cluster, tags });
}

const kitchen = create("kitchen");
const cooks = [create("cod", "cook", "eu"), create("eel", "cook", "us"), create("ray", "waiter", "eu")];

/** Settles when the kitchen has so many changes of a kind. @param {"joined" | "left"} type @param {number} count */
function changes(type, count) {
  return new Promise((resolve) => {
    let seen = 0;
    kitchen.events.on(type, () => {
      if (++seen === count) resolve(undefined);
    });
  });
}

const allJoined = changes("joined", 3);
await Promise.all([kitchen, ...cooks].map((node) => node.start()));
await allJoined;

const short = (/** @type {{ name: string }} */ { name }) => name.split("@")[0];
assert.deepEqual(kitchen.members({ self: false }).map(short).sort(), ["cod", "eel", "ray"]);

// Tags travel with what a node says of itself.
while (kitchen.resolve("cook").length < 2)
  await new Promise((resolve) => kitchen.events.once("tags", resolve));
assert.deepEqual(kitchen.resolve("cook", "eu").map(short), ["cod"]);
assert.deepEqual([...kitchen.resolver({ has: ["cook"], not: ["eu"] })].map(short), ["eel"]);

const oneLeft = changes("left", 1);
await cooks[0]?.leave();
await oneLeft;
console.log(`cooks: ${kitchen.resolve("cook").map(short)}`);
assert.deepEqual(kitchen.resolve("cook").map(short), ["eel"]);

await Promise.all([kitchen, ...cooks].map((node) => node.close()));
