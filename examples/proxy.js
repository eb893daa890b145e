// @ts-check
/** A proxy between clients and workers: they know the proxy only, can come and go, and nothing is lost when it closes. */
import assert from "node:assert/strict";
import { Dealer, Reply, Request, text } from "shoal";
import { QueueProxy } from "shoal/proxy";

const proxy = new QueueProxy({
  frontend: { bind: "tcp://127.0.0.1:*" },
  backend: { bind: "tcp://127.0.0.1:*" },
});
await proxy.start();
const [clientsHere = ""] = proxy.endpoints.frontend;
const [workersHere = ""] = proxy.endpoints.backend;

/** @param {string} name */
function startWorker(name) {
  const worker = new Reply({ codec: text() });
  worker.connect(workersHere);
  const working = (async () => {
    for await (const [job] of worker) await worker.send(`${job}, by ${name}`);
  })();
  return { worker, working };
}
const joined = new Promise((resolve) => {
  let peers = 0;
  proxy.events.on("peer:joined", ({ side }) => {
    if (side === "backend" && ++peers === 2) resolve(undefined);
  });
});
const workers = [startWorker("Ann"), startWorker("Bob")];
await joined;

const client = new Request({ codec: text() });
client.connect(clientsHere);
const answers = [];
for (const job of ["nets", "sails", "ropes", "hull"]) {
  const [answer] = await client.request(job, { timeout: 2_000 });
  answers.push(answer);
}

// A client with many requests under way, and a proxy that is to go: all of them pass, and their replies.
const eager = new Dealer();
eager.connect(clientsHere);
for (let i = 0; i < 100; i++) await eager.send(["", `${i}`]);
const left = await proxy.drain({ timeout: 5_000 });
await proxy.close();
let replies = 0;
while (replies < 100) replies += (await eager.receiveMany({ timeout: 2_000 })).length;

await Promise.all([client.close(), eager.close()]);
for (const { worker, working } of workers) {
  await worker.close();
  await working;
}

assert.deepEqual(left, { drained: true, received: 0, queued: 0, unanswered: 0 });
assert.deepEqual(
  answers.map((answer) => answer.split(",")[0]),
  ["nets", "sails", "ropes", "hull"],
);
assert.equal(new Set(answers.map((answer) => answer.split("by ")[1])).size, 2); // The jobs went round.
console.log(`${answers.join("\n")}\n${replies} replies came while the proxy drained`);
