/**
 * One request after the other, or many in flight: what the waiting costs.
 *
 * The same requests go the same way, client, broker, worker and back, in both halves. Look at the two rates: the first is
 * bounded by the time of one round trip, the second by how fast the three can pass messages on. The requests of the second
 * half leave in batches, which is most of the difference.
 *
 *   node examples/guide/chapter4/round-trip.ts [REQUESTS]
 */
import { Dealer } from "shoal";

const requests = Number(process.argv[2] ?? 1_000);
const client = new Dealer();
const frontend = new Dealer();
const backend = new Dealer();
const worker = new Dealer();
client.connect(await frontend.bind("tcp://127.0.0.1:*"));
worker.connect(await backend.bind("tcp://127.0.0.1:*"));

async function carry(from: Dealer, to: Dealer): Promise<void> {
  for await (const message of from) await to.send(message);
}
const running = [carry(frontend, backend), carry(backend, frontend), carry(worker, worker)];

let started = performance.now();
for (let i = 0; i < requests; i++) {
  await client.send("hello");
  await client.receive();
}
const synchronous = requests / (performance.now() - started);
console.log(`one at a time: ${Math.round(synchronous * 1_000)} calls a second`);

started = performance.now();
const sending = (async () => {
  for (let i = 0; i < requests; i++) await client.send("hello");
})();
for (let left = requests; left > 0; ) left -= (await client.receiveMany({ max: left })).length;
await sending;
const asynchronous = requests / (performance.now() - started);
console.log(`many under way: ${Math.round(asynchronous * 1_000)} calls a second`);
console.log(`faster: ${asynchronous > synchronous}`);

for (const socket of [client, frontend, backend, worker]) await socket.close();
await Promise.all(running);
