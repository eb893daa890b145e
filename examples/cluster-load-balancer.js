// @ts-check
/** Load balancers found by name in a cluster: one of two drains in the middle of the requests, and none is lost. */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";
import { LoadBalancer, LoadBalancerClient } from "shoal/load-balancer";
import { PirateWorker } from "shoal/pirate";

const cluster = `example-balancers-${process.pid}`;
const ANY = "tcp://127.0.0.1:*"; // For other hosts: tcp://*:*.

/** @param {string} name */
async function join(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  return node;
}

/** A balancer with a node of its own, which says where clients and workers find it. @param {string} name */
async function balance(name) {
  const node = await join(name);
  const balancer = new LoadBalancer();
  const [requests, workers] = [await balancer.bind("frontend", ANY), await balancer.bind("backend", ANY)];
  node.announce({ requests, workers }, balancer);
  return node;
}

const [first, second, mill] = await Promise.all([balance("first"), balance("second"), join("mill")]);

// A worker is at all balancers there are.
const worker = new PirateWorker(mill.resolver({ has: ["workers"] }), ([grain]) => `${grain} flour`, {
  dialect: "simple",
  concurrency: 4,
});
mill.announce({}, worker);

const client = new LoadBalancerClient(mill.resolver({ has: ["requests"] }));
let answered = 0;
/** @param {number} count */
const ask = (count) =>
  Promise.all(
    Array.from({ length: count }, async (_, n) => {
      assert.equal(String(await client.request(`sack ${n}`)), `sack ${n} flour`);
      answered += 1;
    }),
  );
await ask(200);
const more = ask(200);
await first.drain(); // Withdrawn, drained, closed.
await more;
await ask(200);

console.log(`${answered} requests answered`);
assert.equal(answered, 600);
await client.close();
await Promise.all([second, mill].map((node) => node.drain()));
await Promise.all([first, second, mill].map((node) => node.leave()));
