// @ts-check
/** Last value cache: a late subscriber gets the last value of each of its topics at once. */
import assert from "node:assert/strict";
import { Publisher, Subscriber } from "shoal";
import { LastValueCache } from "shoal/last-value-cache";

const cache = new LastValueCache({ maxTopics: 1_000 });
const frontend = await cache.bind("frontend", "tcp://127.0.0.1:*");
const backend = await cache.bind("backend", "tcp://127.0.0.1:*");

const publisher = new Publisher();
publisher.connect(frontend);
await publisher.waitForSubscribers(); // The cache asks for everything.
await publisher.send(["weather/oslo", "snow"]);
await publisher.send(["weather/rome", "rain"]);
await publisher.send(["weather/rome", "sun"]);
await publisher.send(["traffic/rome", "slow"]);
while (cache.stats().messages < 4) await new Promise((resolve) => setTimeout(resolve, 5));

const subscriber = new Subscriber();
subscriber.subscribe("weather/");
subscriber.connect(backend);
const values = [];
while (values.length < 2) values.push((await subscriber.receive()).join(": "));
assert.deepEqual(values, ["weather/oslo: snow", "weather/rome: sun"]);

await publisher.send(["weather/oslo", "thaw"]);
assert.equal((await subscriber.receive()).join(": "), "weather/oslo: thaw");

await Promise.all([publisher.close(), subscriber.close(), cache.close()]);
console.log(values.join("\n"));
