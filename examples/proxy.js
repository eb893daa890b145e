// @ts-check
/** A proxy between clients and workers: they know the proxy only, and can come and go. */
import assert from "node:assert/strict";
import { Dealer, Reply, Request, Router, text } from "shoal";
import { Proxy as MessageProxy } from "shoal/proxy"; // JavaScript has a Proxy of its own.

const frontEnd = new Router();
const backEnd = new Dealer();
await frontEnd.bind("tcp://127.0.0.1:*");
await backEnd.bind("tcp://127.0.0.1:*");
const clientsHere = frontEnd.lastEndpoint ?? "";
const workersHere = backEnd.lastEndpoint ?? "";
const proxy = new MessageProxy(frontEnd, backEnd);
const running = proxy.run();

/** @param {string} name */
function startWorker(name) {
  const worker = new Reply({ codec: text() });
  worker.connect(workersHere);
  const working = (async () => {
    for await (const [job] of worker) await worker.send(`${job}, by ${name}`);
  })();
  return { worker, working };
}
const workers = [startWorker("Ann"), startWorker("Bob")];
await backEnd.ready({ peers: 2 });

const client = new Request({ codec: text() });
client.connect(clientsHere);
const answers = [];
for (const job of ["nets", "sails", "ropes", "hull"]) {
  const [answer] = await client.request(job, { timeout: 2_000 });
  answers.push(answer);
}

await client.close();
for (const { worker, working } of workers) {
  await worker.close();
  await working;
}
proxy.terminate(); // Closes both of its sockets.
await running;

assert.deepEqual(
  answers.map((answer) => answer.split(",")[0]),
  ["nets", "sails", "ropes", "hull"],
);
assert.equal(new Set(answers.map((answer) => answer.split("by ")[1])).size, 2); // The jobs went round.
console.log(answers.join("\n"));
