// @ts-check
/**
 * Clone in a cluster: the servers of a pair leave one after the other, a new one replaces the first, and no update is lost.
 */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { CloneClient, CloneServer } from "shoal/clone";
import { ClusterNode } from "shoal/cluster";

const cluster = `example-clone-${process.pid}`;
/** Names of the servers whose map a server has a copy of, by that server's name. @type {Map<string, string | undefined>} */
const inStep = new Map();
const changes = new EventEmitter();

/** A server with a role of the pair. @param {string} name @param {"primary" | "backup"} role */
async function host(name, role) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const other = role === "primary" ? "backup" : "primary";
  const peer = node.resolver({ has: [`map-${other}`] });
  const server = new CloneServer({ heartbeatInterval: 200, pair: { role, peer } });
  server.events.on("replica:joined", () => {
    inStep.set(name, node.resolve(`map-${other}`)[0]?.name);
    changes.emit("step");
  });
  server.events.on("replica:left", () => inStep.delete(name));
  const endpoint = await server.bind("tcp://127.0.0.1:*");
  node.announce({ map: endpoint, [`map-${role}`]: endpoint }, server);
  return node;
}

/** Lets a server go, whose place a new one then takes. @param {string} name @param {ClusterNode} node */
async function leave(name, node) {
  await node.drain();
  await node.leave();
  inStep.delete(name);
}

/** Until one server has a copy at another, and `isRight` of the two. @param {(pair: (string | undefined)[]) => boolean} isRight */
async function untilInStep(isRight) {
  while (![...inStep].some(isRight)) await once(changes, "step");
}

const [first, second] = [await host("first", "primary"), await host("second", "backup")];
await untilInStep(() => true);

const guest = new ClusterNode({ name: "guest", cluster });
await guest.start();
const prices = new CloneClient(guest.resolver({ has: ["map"] }), { heartbeatInterval: 200 });
await prices.set("wheat", "212");

await leave("first", first);
const third = await host("third", "primary");
await untilInStep((pair) => !pair.includes("first"));
await prices.set("rye", "180");
await leave("second", second);
await prices.set("oats", "155"); // The third one serves alone.

assert.deepEqual([...prices.entries()].map(([key]) => key).sort(), ["oats", "rye", "wheat"]);
console.log("no update was lost");
await prices.close();
await leave("third", third);
await guest.leave();
