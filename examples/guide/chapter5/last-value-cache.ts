/**
 * A last value cache by hand: a subscription is a message that a proxy can read, and answer.
 *
 * An XPUB socket receives a frame for each subscription: 1 and the prefix, or 0 when it is taken back. Look at `verbosity`: by
 * default it gets only the first subscription to a topic, since a proxy needs no more. So the Guide's cache answers only a
 * topic's first subscriber. `LastValueCache` in `late-subscriber.ts` has more: prefixes of many topics, values for the new
 * subscriber alone, bounds, a store on disk.
 *
 *   node examples/guide/chapter5/last-value-cache.ts
 */
import { Publisher, Subscriber, XPublisher } from "shoal";

const frontend = new Subscriber();
const backend = new XPublisher({ verbosity: "allSubs" });
const publisher = new Publisher();
frontend.connect(await publisher.bind("inproc://published"));
frontend.subscribe();
await backend.bind("inproc://cached");
const values = new Map<string, Buffer>();

async function keepValues(): Promise<void> {
  for await (const [topic, value] of frontend) {
    if (topic === undefined || value === undefined) continue; // Not of this form.
    values.set(String(topic), value);
    await backend.send([topic, value]);
  }
}

async function answerSubscriptions(): Promise<void> {
  for await (const [subscription] of backend) {
    if (subscription?.[0] !== 1) continue;
    const topic = String(subscription.subarray(1));
    const value = values.get(topic);
    console.log(`cache: ${topic} was asked for, ${value === undefined ? "not known" : "sent"}`);
    if (value !== undefined) await backend.send([topic, value]);
  }
}
const running = [keepValues(), answerSubscriptions()];

const early = new Subscriber();
early.connect("inproc://cached");
early.subscribe("042");
await publisher.waitForSubscribers();
await publisher.send(["042", "Save Roger"]);
console.log(`early subscriber: ${(await early.receive()).join(" ")}`);

const late = new Subscriber();
late.connect("inproc://cached");
late.subscribe("042");
console.log(`late subscriber: ${(await late.receive()).join(" ")}`);

await Promise.all([early, late, publisher, frontend, backend].map((socket) => socket.close()));
await Promise.all(running);
