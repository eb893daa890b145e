/**
 * A publisher that begins when its subscribers are there, so that none of them misses a message.
 *
 * In the Guide each subscriber reports itself by a request, over a second pair of sockets, and sleeps for a second before that,
 * in the hope that its subscription has arrived by then. Look at `waitForSubscribers`: the publisher knows its subscriptions, so
 * it needs neither. A slow subscriber may still lose messages; `noDrop` makes the publisher wait for it, too.
 *
 *   node examples/guide/chapter2/synchronized.ts [publisher | subscriber] [ENDPOINT]
 */
import { Publisher, Subscriber } from "shoal";

const SUBSCRIBERS = 3;
const UPDATES = 10_000;
const [role = "all", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://synchronized" : "tcp://127.0.0.1:5561");

async function publish(): Promise<void> {
  const publisher = new Publisher({ noDrop: true });
  await publisher.bind(endpoint);
  await publisher.waitForSubscribers({ count: SUBSCRIBERS });
  for (let i = 0; i < UPDATES; i++) await publisher.send("Rhubarb");
  await publisher.send("END");
  await publisher.close();
  console.log(`publisher: sent ${UPDATES} updates to ${SUBSCRIBERS} subscribers`);
}

async function subscribe(): Promise<void> {
  const subscriber = new Subscriber();
  subscriber.connect(endpoint);
  subscriber.subscribe();
  let updates = 0;
  for await (const [body] of subscriber) {
    if (String(body) === "END") break;
    updates += 1;
  }
  await subscriber.close();
  console.log(`subscriber: received ${updates} updates`);
}

if (role === "publisher") await publish();
else if (role === "subscriber") await subscribe();
else await Promise.all([publish(), ...Array.from({ length: SUBSCRIBERS }, subscribe)]);
