// @ts-check
/** Black Box: a stream is received in one thread and handled in others, each topic in order. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { setEnvironmentData } from "node:worker_threads";
import { Publisher } from "shoal";
import { BlackBox } from "shoal/black-box";

// The handler is a module: each worker thread loads it. Usually a file: new URL("./handler.js", import.meta.url).
const handler = new URL(
  `data:text/javascript,${encodeURIComponent(`
  import { getEnvironmentData } from "node:worker_threads";
  const data = getEnvironmentData("data");
  const last = new Map();
  export default ([topic, body], { shard }) => {
    const number = Number(body);
    if (number === 500) throw new Error("number 500 is broken");
    if (number <= (last.get(String(topic)) ?? -1)) Atomics.add(data, 1, 1); // Out of order.
    last.set(String(topic), number);
    Atomics.add(data, 0, 1);
    Atomics.or(data, 2, 1 << shard);
  };
`)}`,
);

const publisher = new Publisher({ sendHighWaterMark: 100_000 });
await publisher.bind("tcp://127.0.0.1:*");

// Memory that all threads share. Handlers may also open sockets of their own.
const data = new Int32Array(new SharedArrayBuffer(12));
setEnvironmentData("data", data);
const box = new BlackBox({
  handler,
  workers: 2,
  connect: publisher.lastEndpoint ?? "",
  subscribe: "ship.",
  full: "wait", // Or drop-oldest, drop-newest.
});
/** @type {string[]} */
const failures = [];
box.events.on("handler:failed", ({ error, messages }) => failures.push(`${messages}: ${error.message}`));
await box.start();
await publisher.waitForSubscribers();

for (let i = 0; i < 1_000; i++) {
  for (const ship of ["ann", "bob", "cat", "dan"]) await publisher.send([`ship.${ship}.course`, String(i)]);
  await publisher.send(["buoy.7", "nobody asked for this"]);
}

let stats = box.stats();
while (stats.handled + stats.failed < 4_000) {
  await sleep(10);
  stats = box.stats();
}
assert.deepEqual([stats.handled, stats.failed, stats.lost], [3_996, 4, 0]);
assert.deepEqual([data[0], data[1]], [3_996, 0]);

await Promise.all([box.close(), publisher.close()]);
assert.match(failures[0] ?? "", /number 500 is broken/);
console.log(`${stats.handled} handled in order, by threads ${data[2]?.toString(2)}; ${stats.failed} failed`);
