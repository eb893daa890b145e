// @ts-check
/** Two sites: A has more work than workers, B helps; then B goes away in the middle, and nothing is lost. */
import assert from "node:assert/strict";
import { Request } from "shoal";
import { FederatedBroker } from "shoal/federation";
import { PirateWorker } from "shoal/pirate";

const ANY = "tcp://127.0.0.1:*";

/** @param {string} name */
async function site(name) {
  const broker = new FederatedBroker(name);
  return {
    name,
    broker,
    frontend: await broker.bind("frontend", ANY),
    backend: await broker.bind("backend", ANY),
    cloud: await broker.bind("cloud", ANY),
    state: await broker.bind("state", ANY),
  };
}

const [a, b] = [await site("A"), await site("B")];
a.broker.join(b);
b.broker.join(a);

// A has no worker, so B's does it.
const first = new PirateWorker(b.backend, () => "done at B", { dialect: "simple" });
const client = new Request();
client.connect(a.frontend);
assert.equal(String(await client.request("one")), "done at B");
await first.close();

// This worker of B never finishes, and B goes away with A's request.
/** @type {() => void} */
let take = () => undefined;
const taken = new Promise((resolve) => {
  take = () => resolve(undefined);
});
const endless = new PirateWorker(
  b.backend,
  () => {
    take();
    return new Promise(() => undefined);
  },
  { dialect: "simple" },
);
const answer = client.request("two");
await taken;
await b.broker.close({ linger: 0 });

// The request is still at A.
const second = new PirateWorker(a.backend, () => "done at A", { dialect: "simple" });
assert.equal(String(await answer), "done at A");

const { sentToSites, returned, repliesLocal } = a.broker.stats();
console.log(`${repliesLocal} replies; ${sentToSites} requests went to B, ${returned} came back`);
await client.close();
await Promise.all([endless.close({ linger: 0 }), second.close(), a.broker.close()]);
