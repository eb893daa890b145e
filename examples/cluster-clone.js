// @ts-check
/**
 * Clone in a cluster: of three servers, two take the roles of a pair, and the third one is a spare, which takes over a role that is vacant.
 * The two that began go one after the other, and no update is lost.
 */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";
import { CloneClient, CloneServer } from "shoal/patterns";

const group = `example-clone-${process.pid}`;
/** @type {string[]} */
const served = [];

/** A server that has a role as soon as one is vacant. @param {string} name */
async function host(name) {
  const node = new ClusterNode({ name, group });
  await node.start();
  /** @type {CloneServer | undefined} */
  let serving;
  const isInStep = node.takeRole("map", ["primary", "backup"]).then(async ({ role }) => {
    const other = role === "primary" ? "backup" : "primary";
    const peer = node.resolver({ has: [`map-${other}`] });
    const server = new CloneServer({ heartbeatInterval: 200, pair: { role, peer } });
    serving = server;
    const endpoint = await server.bind("tcp://127.0.0.1:*");
    node.announce({ map: endpoint, [`map-${role}`]: endpoint }, server);
    served.push(`${name}: ${role}`);
    // One of the two has it: the other one has the whole map.
    return new Promise((resolve) => server.events.once("replica:joined", () => resolve(name)));
  });
  isInStep.catch(() => undefined); // A spare that never had a role.
  // The next time that it is: two that changed places on a busy machine have been before.
  const inStepAgain = () =>
    serving === undefined
      ? isInStep
      : new Promise((resolve) => serving?.events.once("replica:joined", resolve));
  return { node, isInStep, inStepAgain };
}

const [first, second] = [await host("first"), await host("second")];
await Promise.race([first.isInStep, second.isInStep]);
const third = await host("third");

const guest = new ClusterNode({ name: "guest", group });
await guest.start();
const prices = new CloneClient(guest.resolver({ has: ["map"] }), { heartbeatInterval: 200 });
await prices.set("wheat", "212");

const isThirdInStep = Promise.race([second.inStepAgain(), third.inStepAgain()]);
await first.node.drain(); // The third one takes its role.
await first.node.leave();
await isThirdInStep;
await prices.set("rye", "180");
await second.node.drain();
await second.node.leave();
await prices.set("oats", "155"); // By the third one alone.

console.log(served.join(", "));
assert.deepEqual([...prices.entries()].map(([key]) => key).sort(), ["oats", "rye", "wheat"]);
assert.equal(served.length, 3);
await prices.close();
await third.node.drain();
await Promise.all([third.node.leave(), guest.leave()]);
