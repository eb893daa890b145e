// @ts-check
/** A request with a timeout and retries, to a server that misses the first one. */
import assert from "node:assert/strict";
import { Reply, Request, text } from "shoal";

const server = new Reply({ codec: text() });
await server.bind("tcp://127.0.0.1:*");

let requests = 0;
async function serve() {
  for await (const [question] of server) {
    requests += 1;
    if (requests === 1) await new Promise((resolve) => setTimeout(resolve, 300)); // Too slow, once.
    await server.send(`${question}? Yes.`);
  }
}
const served = serve();

const client = new Request({ codec: text() });
client.connect(server.lastEndpoint ?? "");

// Each attempt carries an id of its own: the late answer to the first is never taken for the second's.
const [first] = await client.request("Ready", { attemptTimeout: 200, retries: 5 });
assert.equal(first, "Ready? Yes.");
const [second] = await client.request("Still there", { timeout: 2_000 });
assert.equal(second, "Still there? Yes.");
assert.ok(requests >= 3);

// A server that is gone is an error in time, and the socket is as good as new afterwards.
await server.close();
await served;
await assert.rejects(client.request("Anybody", { timeout: 100, retries: 1 }), { code: "ETIMEDOUT" });

await client.close({ linger: 0 });
console.log(`${requests} requests came for 2 questions; the third question found nobody`);
