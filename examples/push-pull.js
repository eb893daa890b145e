// @ts-check
/** Work handed out with PUSH, done by two workers, collected with PULL. */
import assert from "node:assert/strict";
import { Pull, Push } from "shoal";

const ventilator = new Push();
const sink = new Pull();
await ventilator.bind("tcp://127.0.0.1:*");
await sink.bind("tcp://127.0.0.1:*");

async function worker() {
  const tasks = new Pull();
  const results = new Push();
  tasks.connect(ventilator.lastEndpoint ?? "");
  results.connect(sink.lastEndpoint ?? "");
  for await (const [task] of tasks) {
    if (task === undefined || task.length === 0) break; // An empty task: no more.
    await results.send(`${Number(task) ** 2}`);
  }
  await tasks.close();
  await results.close();
}

const workers = [worker(), worker()];
await ventilator.ready({ peers: 2 }); // Otherwise the first worker there would get everything.

for (let i = 1; i <= 10; i++) await ventilator.send(`${i}`);
let sum = 0;
for (let i = 1; i <= 10; i++) {
  const [result] = await sink.receive();
  sum += Number(result);
}
for (const _ of workers) await ventilator.send(""); // In turn: one for each.
await Promise.all(workers);
await ventilator.close();
await sink.close();

assert.equal(sum, 385);
console.log(`The squares of 1 to 10 add up to ${sum}`);
