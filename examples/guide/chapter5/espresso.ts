/**
 * Espresso: a look at what passes a proxy, without disturbing it.
 *
 * The Guide's proxy copies each message to a thread that prints it. Look at `EspressoTap`: it publishes what passes, so that
 * any number of listeners can come and go, each with its topics; without a listener a message costs it one comparison. And look at
 * what is not seen: topics that nobody has subscribed to never reach the proxy.
 *
 *   node examples/guide/chapter5/espresso.ts
 */
import { Publisher, Subscriber, XPublisher, XSubscriber } from "shoal";
import { EspressoListener, EspressoTap } from "shoal/espresso";
import { Proxy as MessageProxy } from "shoal/proxy"; // JavaScript has a Proxy of its own.

const publisher = new Publisher();
const frontend = new XSubscriber();
const backend = new XPublisher();
frontend.connect(await publisher.bind("tcp://127.0.0.1:*"));
const tap = new EspressoTap();
const proxy = new MessageProxy(frontend, backend, tap.capture);
const subscriber = new Subscriber();
subscriber.connect(await backend.bind("tcp://127.0.0.1:*"));
subscriber.subscribe("A", "B");
const running = proxy.run();

const listening = tap.events.receive();
const listener = new EspressoListener(await tap.bind("tcp://127.0.0.1:*"), { topics: ["A", "B"] });
await listening; // Its subscription has arrived: it misses nothing from here on.

for (const letter of "AB") await publisher.waitForSubscribers({ topic: letter });
for (const letter of "ABCDEFGHIJ") await publisher.send(`${letter}-00001`);
for (const _ of "AB") console.log(`subscriber: ${await subscriber.receive()}`);
for (const _ of "AB") {
  const { from, frames, size } = await listener.receive();
  console.log(`listener: ${frames}, ${size} bytes from the ${from}`);
}

await Promise.all([listener.close(), subscriber.close(), publisher.close()]);
proxy.terminate();
await running;
await tap.close();
