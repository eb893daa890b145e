// @ts-check
/**
 * Clone in a cluster: of three servers, two take the roles of a pair, and the third one is a spare, which takes over a role that is vacant.
 * The two that began go one after the other, and no update is lost.
 */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { ClusterNode } from "shoal/cluster";
import { CloneClient, CloneServer } from "shoal/patterns";

const group = `example-clone-${process.pid}`;
/** @type {string[]} */
const served = [];
/** Of each server that has a copy of its map: where. @type {Map<string, string | undefined>} */
const inStep = new Map();
const changes = new EventEmitter();

/** A server that has a role as soon as one is vacant. @param {string} name */
async function host(name) {
  const node = new ClusterNode({ name, group });
  await node.start();
  serve(name, node).catch((error) => changes.emit("error", error));
  return node;
}

/** @param {string} name @param {ClusterNode} node */
async function serve(name, node) {
  while (!node.draining) {
    const seat = await node.takeRole("map", ["primary", "backup"]).catch((error) => {
      if (!node.draining) throw error; // A spare that never had a role.
    });
    if (seat === undefined) return;
    const other = seat.role === "primary" ? "backup" : "primary";
    const peer = node.resolver({ has: [`map-${other}`], not: ["self"] });
    const server = new CloneServer({ heartbeatInterval: 200, pair: { role: seat.role, peer } });
    server.events.on("replica:joined", () => {
      inStep.set(name, node.resolve(`map-${other}`)[0]?.name);
      changes.emit("step");
    });
    server.events.on("replica:left", () => inStep.delete(name));
    const endpoint = await server.bind("tcp://127.0.0.1:*");
    const announced = node.announce({ map: endpoint, [`map-${seat.role}`]: endpoint }, server);
    served.push(`${name}: ${seat.role}`);
    // Until this node drains, or an older one turns out to have the same role: two that began at once may not have seen each other.
    if (!seat.signal.aborted) await once(seat.signal, "abort");
    await announced.withdraw();
    inStep.delete(name);
  }
}

/** Until one server has a copy at another, and `isRight` of the two. @param {(pair: (string | undefined)[]) => boolean} isRight */
async function untilInStep(isRight) {
  while (![...inStep].some(isRight)) await once(changes, "step");
}

const [first, second] = [await host("first"), await host("second")];
await untilInStep(() => true);
const third = await host("third");

const guest = new ClusterNode({ name: "guest", group });
await guest.start();
const prices = new CloneClient(guest.resolver({ has: ["map"] }), { heartbeatInterval: 200 });
await prices.set("wheat", "212");

await first.drain(); // The third one takes its role.
await first.leave();
await untilInStep((pair) => !pair.includes("first"));
await prices.set("rye", "180");
await second.drain();
await second.leave();
await prices.set("oats", "155"); // By the third one alone.

console.log(served.join(", "));
assert.deepEqual([...prices.entries()].map(([key]) => key).sort(), ["oats", "rye", "wheat"]);
assert.equal(new Set(served.map((each) => each.split(":")[0])).size, 3);
await prices.close();
await third.drain();
await Promise.all([third.leave(), guest.leave()]);
