/**
 * A subscriber that comes late, and a publisher that speaks rarely: with plain PUB and SUB it knows nothing for a long time.
 *
 * The Guide's pair of programs is made to fail: a thousand topics are published once, and then one a second. Look at the first
 * half, where the late subscriber gets nothing. In the second half the same publisher and the same subscriber have a
 * `LastValueCache` between them, which gives newcomers the last message of each topic that they ask for.
 *
 *   node examples/guide/chapter5/late-subscriber.ts
 */
import { Publisher, Subscriber } from "shoal";
import { LastValueCache } from "shoal/last-value-cache";

const TOPICS = Array.from({ length: 1_000 }, (_, i) => String(i).padStart(3, "0"));

async function publishAll(publisher: Publisher): Promise<void> {
  for (const topic of TOPICS) await publisher.send([topic, "Save Roger"]);
}

async function comeLate(endpoint: string, timeout: number): Promise<string> {
  const subscriber = new Subscriber();
  subscriber.connect(endpoint);
  subscriber.subscribe("042");
  await subscriber.ready();
  try {
    const [topic, message] = await subscriber.receive({ timeout });
    return `${topic} ${message}`;
  } catch (error) {
    return `nothing (${(error as { code: string }).code})`;
  } finally {
    await subscriber.close();
  }
}

const direct = new Publisher();
const endpoint = await direct.bind("tcp://127.0.0.1:*");
await publishAll(direct);
console.log(`without a cache: ${await comeLate(endpoint, 100)}`);
await direct.close();

const cache = new LastValueCache();
const frontend = await cache.bind("frontend", "tcp://127.0.0.1:*");
const backend = await cache.bind("backend", "tcp://127.0.0.1:*");
const publisher = new Publisher({ noDrop: true }); // A thousand messages at once are more than a queue holds.
publisher.connect(frontend);
await publisher.waitForSubscribers(); // The cache subscribes to everything.
await publishAll(publisher);
console.log(`with a cache: ${await comeLate(backend, 5_000)}`);
await publisher.close();
await cache.close();
