// @ts-check
/** A federation in a cluster: sites find each other. A site without workers gets help from the others, also from one that joins later. */
import assert from "node:assert/strict";
import { Request } from "shoal";
import { ClusterNode } from "shoal/cluster";
import { FederatedBroker } from "shoal/federation";
import { PirateWorker } from "shoal/pirate";

const cluster = `example-sites-${process.pid}`;
const ANY = "tcp://127.0.0.1:*";

/** A site, with a worker or without. @param {string} name @param {boolean} hasWorker */
async function site(name, hasWorker) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const broker = new FederatedBroker(name, { stateInterval: 100 });
  const [frontend, backend] = [await broker.bind("frontend", ANY), await broker.bind("backend", ANY)];
  const [cloud, state] = [await broker.bind("cloud", ANY), await broker.bind("state", ANY)];
  const others = (/** @type {string} */ what) => node.resolver({ has: [what], not: ["self"] });
  broker.join({ cloud: others("cloud"), state: others("state") });
  node.announce({ cloud, state }, broker);
  if (hasWorker) node.announce({}, new PirateWorker(backend, () => `done at ${name}`, { dialect: "simple" }));
  return { node, frontend };
}

const oslo = await site("oslo", false);
const rome = await site("rome", true);
const client = new Request();
client.connect(oslo.frontend);
assert.equal(String(await client.request("one")), "done at rome");

// Rome goes; what is asked meanwhile waits at Oslo until Lima is there.
await rome.node.drain();
await rome.node.leave();
const answer = client.request("two");
const lima = await site("lima", true);
assert.equal(String(await answer), "done at lima");
console.log("two requests, done at rome and at lima");

await client.close();
for (const { node } of [oslo, lima]) {
  await node.drain();
  await node.leave();
}
