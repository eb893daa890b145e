// @ts-check
/** A load balancer: short requests do not wait behind a long one, as they would if a DEALER dealt in turns. */
import assert from "node:assert/strict";
import { Dealer } from "shoal";
import { LoadBalancer } from "shoal/load-balancer";
import { PirateWorker } from "shoal/pirate";

const broker = new LoadBalancer();
const frontend = await broker.bind("frontend", "tcp://127.0.0.1:*");
const backend = await broker.bind("backend", "tcp://127.0.0.1:*");

/** @type {() => void} */
let finish = () => undefined;
const worker = new PirateWorker(
  backend,
  async ([name]) => {
    if (String(name) === "long") {
      await new Promise((resolve) => {
        finish = () => resolve(undefined);
      });
    }
    return [name];
  },
  { dialect: "simple", concurrency: 2 },
);

const client = new Dealer();
client.connect(frontend);
for (const name of ["long", "a", "b", "c"]) await client.send(["", name]);

const done = [];
while (done.length < 3) done.push(String((await client.receive())[1]));
assert.deepEqual(done, ["a", "b", "c"]);
finish();
done.push(String((await client.receive())[1]));
assert.equal(done[3], "long");

await client.close();
await Promise.all([worker.close(), broker.close()]);
console.log(done.join(" "));
