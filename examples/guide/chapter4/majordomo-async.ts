/**
 * Majordomo with many requests in flight: the client does not wait for one reply before it sends the next request.
 *
 * The Guide needs another client API for it (mdcliapi2), with `send` and `recv` apart, and it does not show which reply belongs
 * to which request. Look at `Promise.all`: `MajordomoClient` gives each request an id, so each call gets its own reply, whatever
 * the order. Look at `concurrency`, too: the worker handles that many at once.
 *
 *   node examples/guide/chapter4/majordomo-async.ts
 */
import { setTimeout } from "node:timers/promises";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";

const broker = new MajordomoBroker();
const endpoint = await broker.bind("tcp://127.0.0.1:*");
const handled: string[] = [];
const handle = async ([request]: Buffer[]): Promise<string> => {
  await setTimeout(String(request) === "request 0" ? 40 : 1); // The first one takes the longest.
  handled.push(String(request));
  return `reply to ${request}`;
};
const worker = new MajordomoWorker(endpoint, "echo", handle, { concurrency: 10 });

const client = new MajordomoClient(endpoint);
const requests = Array.from({ length: 100 }, (_, i) => `request ${i}`);
const replies = await Promise.all(requests.map((request) => client.request("echo", request)));
console.log(`client: ${replies.length} replies, the first is "${replies[0]}"`);
console.log(`worker: handled "request 0" first: ${handled[0] === "request 0"}`);

await client.close();
await worker.close();
await broker.close();
