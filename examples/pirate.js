// @ts-check
/** Paranoid Pirates: a queue, two workers of which one dies in the middle of a request, and a client that never notices. */
import assert from "node:assert/strict";
import { Dealer } from "shoal";
import { PirateClient, PirateQueue, PirateWorker } from "shoal/pirate";

const queue = new PirateQueue();
const frontend = await queue.bind("frontend", "tcp://127.0.0.1:*");
const backend = await queue.bind("backend", "tcp://127.0.0.1:*");

// A worker by hand (6/PPP): it says READY, takes a request, and is gone.
const dying = new Dealer();
dying.connect(backend);
await dying.send(Buffer.from([1]));

const client = new PirateClient(frontend);
const answer = client.request("ahoy");
await dying.receive();
await dying.close({ linger: 0 });

// A worker as a function: it gets the request that the other one had.
const worker = new PirateWorker(backend, ([body]) => {
  if (String(body) === "bad") throw Object.assign(new Error("no such ship"), { expose: true });
  return String(body).toUpperCase();
});
assert.equal(String(await answer), "AHOY");
assert.equal(queue.stats().repeated, 1);

// A handler that fails is an answer, too.
await assert.rejects(client.request("bad"), { code: "ERR_SERVICE", reason: "worker-failed" });

await Promise.all([client.close(), worker.close(), queue.close()]);
console.log(`${queue.stats().requests} requests, ${queue.stats().workersLost} worker lost`);
