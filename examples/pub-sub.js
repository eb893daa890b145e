// @ts-check
/** PUB and SUB by topic prefix, without losing the first message. */
import assert from "node:assert/strict";
import { Publisher, Subscriber } from "shoal";

const weather = new Publisher();
await weather.bind("tcp://127.0.0.1:*");

const coast = new Subscriber();
coast.connect(weather.lastEndpoint ?? "");
coast.subscribe("coast.");

// A publisher sends to those who are there. So wait until somebody asked for this topic.
await weather.waitForSubscribers({ topic: "coast.north", timeout: 2_000 });

await weather.send(["coast.north", "Storm"]);
await weather.send(["inland", "Sun"]); // Nobody asked for it: it does not even leave.
await weather.send(["coast.south", "Rain"]);

const heard = [];
for await (const [topic, report] of coast) {
  heard.push(`${topic}: ${report}`);
  if (heard.length === 2) break;
}
await coast.close();
await weather.close();

assert.deepEqual(heard, ["coast.north: Storm", "coast.south: Rain"]);
console.log(heard.join("\n"));
