// @ts-check
/** Freelance in a cluster: servers that any client finds, without a broker. One drains, one comes, and each request is answered. */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";
import { FreelanceClient, FreelanceServer } from "shoal/freelance";

const cluster = `example-freelance-${process.pid}`;

/** @param {string} name */
async function serve(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const server = new FreelanceServer(([word]) => `${word} by ${name}`);
  node.announce({ answers: await server.bind("tcp://127.0.0.1:*") }, server);
  return node;
}

const first = await serve("first");
const guest = new ClusterNode({ name: "guest", cluster });
await guest.start();
// A request waits for the first server to be found, too: that takes seconds on a busy machine.
const client = new FreelanceClient(guest.resolver({ has: ["answers"] }), { timeout: 15_000 });
assert.equal(String(await client.request("hello")), "hello by first");

const second = await serve("second");
const asked = Array.from({ length: 100 }, (_, n) => client.request(String(n)));
await first.drain(); // It answers what it has.
await first.leave();
for (const [n, answer] of (await Promise.all(asked)).entries())
  assert.match(String(answer), RegExp(`^${n} by `));
assert.equal(String(await client.request("again")), "again by second");
console.log("102 requests answered, by two servers");

await client.close();
await second.drain();
await Promise.all([second.leave(), guest.leave()]);
