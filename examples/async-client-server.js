// @ts-check
/** The asynchronous client and server: DEALER and ROUTER, many requests at once, each answered when it is done. */
import assert from "node:assert/strict";
import { Dealer, Envelope, json, Router } from "shoal";

const server = new Router();
await server.bind("tcp://127.0.0.1:*");

/** @param {Buffer[]} message Answers one request; any number of these run at once. */
async function answer(message) {
  const { envelope, body } = Envelope.parse(message);
  const { id, delay } = JSON.parse(String(body[0]));
  await new Promise((resolve) => setTimeout(resolve, delay));
  await server.reply(envelope, JSON.stringify({ id }));
}

const serving = (async () => {
  const busy = new Set();
  for await (const message of server) {
    const work = answer(message).finally(() => busy.delete(work));
    busy.add(work);
  }
  await Promise.all(busy);
})();

const client = new Dealer({ codec: json() });
client.connect(server.lastEndpoint ?? "");

// Three requests leave before the first reply comes; the slowest was asked first.
for (const [id, delay] of [800, 400, 1].entries()) await client.send({ id, delay });
const order = [];
for (let i = 0; i < 3; i++) {
  const [reply] = await client.receive();
  order.push(/** @type {{ id: number }} */ (reply).id);
}
assert.deepEqual(order, [2, 1, 0]);

await client.close();
await server.close();
await serving;
console.log(`answered in the order ${order.join(", ")}`);
