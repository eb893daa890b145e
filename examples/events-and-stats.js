// @ts-check
/** The events of a socket, and its counters of messages. */
import assert from "node:assert/strict";
import { Pull, Push } from "shoal";

const pull = new Pull();
/** @type {string[]} */
const seen = [];
const watching = (async () => {
  for await (const event of pull.events) seen.push(event.type); // Ends when the socket closes.
})();
await pull.bind("tcp://127.0.0.1:*");

const push = new Push();
push.connect(pull.lastEndpoint ?? "");
for (let i = 0; i < 100; i++) await push.send(`message ${i}`);

let received = 0;
while (received < 100) received += (await pull.receiveMany({ max: 30 })).length;

// sent = delivered + queued + dropped, always.
const { sent, delivered, queued, dropped } = push.stats();
const lost = Object.values(dropped).reduce((sum, n) => sum + n, 0);
assert.equal(sent, delivered + queued + lost);
assert.equal(sent, 100);
assert.equal(pull.stats().received, 100);

const left = new Promise((resolve) => pull.events.once("peer:leave", resolve));
const result = await push.close();
assert.equal(result.flushed, 100);
await left;
await pull.close();
await watching;

for (const type of ["bind", "handshake", "peer:join", "peer:leave", "end"])
  assert.ok(seen.includes(type), type);
console.log(`${sent} sent, ${delivered} delivered, ${lost} dropped; ${seen.join(", ")}`);
