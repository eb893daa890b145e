/**
 * Is a service there? The broker's own services answer (8/MMI).
 *
 * Look at the two answers: 200 where a worker offers the service, 404 where none does. Look at the third question, which RFC 8
 * does not have: `mmi.services` lists them all. Asking first does not make the next request safe, since the worker may leave
 * meanwhile: a request to a service without workers ends with an error.
 *
 *   node examples/guide/chapter4/service-discovery.ts
 */
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";

const broker = new MajordomoBroker({ waitForService: false }); // Do not wait for a worker to come.
const endpoint = await broker.bind("tcp://127.0.0.1:*");
const worker = new MajordomoWorker(endpoint, "echo", (request) => request);
await worker.ready(); // The broker has it on its list.

const client = new MajordomoClient(endpoint);
console.log(`echo: ${await client.request("mmi.service", "echo")}`);
console.log(`coffee: ${await client.request("mmi.service", "coffee")}`);
console.log(`all: ${await client.request("mmi.services", "")}`);
await client.request("coffee", "black").catch((error) => console.log(`coffee: ${error.reason}`));

await client.close();
await worker.close();
await broker.close();
