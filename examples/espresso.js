// @ts-check
/** Espresso: messages that pass a proxy, read by topic, without slowing the proxy. */
import assert from "node:assert/strict";
import { Publisher, Subscriber, XPublisher, XSubscriber } from "shoal";
import { EspressoListener, EspressoTap } from "shoal/espresso";
import { Proxy as MessageProxy } from "shoal/proxy"; // JavaScript has a Proxy of its own.

const frontend = new XSubscriber();
const backend = new XPublisher();
await frontend.bind("tcp://127.0.0.1:*");
await backend.bind("tcp://127.0.0.1:*");

const tap = new EspressoTap({ snapLength: 4_096 }); // Records show the first 4 KiB of a message.
const proxy = new MessageProxy(frontend, backend, tap.capture);
const running = proxy.run();

const listening = tap.events.receive();
const listener = new EspressoListener(await tap.bind("tcp://127.0.0.1:*"), { topics: "wind." });
assert.equal((await listening).type, "prefix:subscribed"); // It has arrived: nothing is missed from now on.

const publisher = new Publisher();
publisher.connect(frontend.lastEndpoint ?? "");
const subscriber = new Subscriber();
subscriber.subscribe("");
subscriber.connect(backend.lastEndpoint ?? "");
await publisher.waitForSubscribers();

await publisher.send(["wind.north", '{"knots":12}']);
await publisher.send(["tide", '{"metres":2}']);
await publisher.send(["wind.south", '{"knots":31}']);

const heard = [];
while (heard.length < 2) {
  const { from, frames } = await listener.receive({ timeout: 5_000 });
  heard.push(`${from} ${frames[0]} ${JSON.parse(String(frames[1])).knots}`);
}
assert.deepEqual(heard, ["frontend wind.north 12", "frontend wind.south 31"]);

await Promise.all([listener.close(), publisher.close(), subscriber.close()]);
proxy.terminate();
await running;
await tap.close();
const { passed, published } = tap.stats();
console.log(`${passed} messages passed, ${published} were of interest`);
