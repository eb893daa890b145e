/**
 * Clone, model 3: clients change the map, too. They send their changes to the server, which puts all of them in one order.
 *
 * Nobody applies a change before it comes back from the server with its number. Look at the two clients: both set the same key
 * at the same time, and both end with the same value, whichever was later. If each applied its own change at once, they could
 * differ forever.
 *
 *   node examples/guide/chapter5/clone-republish.ts
 */
import { Publisher, Pull, Push, Subscriber } from "shoal";

const publisher = new Publisher();
const collector = new Pull();
await publisher.bind("inproc://updates");
await collector.bind("inproc://changes");

async function serve(): Promise<void> {
  const number = Buffer.alloc(8);
  let sequence = 0n;
  for await (const [key, value] of collector) {
    if (key === undefined || value === undefined) continue;
    number.writeBigUInt64BE(++sequence);
    await publisher.send([key, Buffer.from(number), value]); // What is sent must not change afterwards: a copy.
  }
}
const serving = serve();

/** Sets one key again and again, and applies the changes of all. Settles with the keys in the order in which they came. */
async function runClient(name: string, changes: number, all: number): Promise<Map<string, string>> {
  const updates = new Subscriber();
  const setter = new Push();
  updates.connect("inproc://updates");
  updates.subscribe();
  setter.connect("inproc://changes");
  await publisher.waitForSubscribers({ count: 2 }); // Both clients; across processes, take the snapshot of model 2.
  for (let i = 0; i < changes; i++) await setter.send(["who was last", `${name}, change ${i}`]);
  const map = new Map<string, string>();
  for (let i = 0; i < all; i++) {
    const [key, , value] = await updates.receive();
    map.set(String(key), String(value));
  }
  await Promise.all([updates.close(), setter.close()]);
  return map;
}

const [a, b] = await Promise.all([runClient("A", 100, 200), runClient("B", 100, 200)]);
console.log(`both have the same: ${a?.get("who was last") === b?.get("who was last")}`);
console.log(`the last change: ${a?.get("who was last")?.split(", ")[1]}`);
await Promise.all([collector.close(), publisher.close()]);
await serving;
