/**
 * Peering, complete: sites that help each other, as a finished part, and what happens when one of them goes.
 *
 * A `FederatedBroker` has the three flows of the Guide's peering3: local requests, requests of other sites, and the number of
 * free workers. Look at the second half: site B goes away with a request of A in progress. A still has that request, takes it
 * back, and gives it to a worker of its own; the Guide's brokers would have lost it.
 *
 *   node examples/guide/chapter3/peering.ts
 */
import { Request } from "shoal";
import { FederatedBroker } from "shoal/federation";
import { PirateWorker } from "shoal/pirate";

const ANY = "tcp://127.0.0.1:*";
async function openSite(name: string) {
  const broker = new FederatedBroker(name);
  const frontend = await broker.bind("frontend", ANY);
  const backend = await broker.bind("backend", ANY);
  const cloud = await broker.bind("cloud", ANY);
  const state = await broker.bind("state", ANY);
  return { name, broker, frontend, backend, cloud, state };
}
const [a, b] = [await openSite("A"), await openSite("B")];
a.broker.join(b);
b.broker.join(a);

let started = (): void => undefined;
const hasStarted = new Promise<void>((resolve) => (started = resolve));
const handleAtB = async ([task]: Buffer[]): Promise<string> => {
  if (String(task) === "long") {
    started();
    await new Promise(() => undefined); // It never ends.
  }
  return `${task} done at B`;
};
const workerAtB = new PirateWorker(b.backend, handleAtB, { dialect: "simple" });

const client = new Request();
client.connect(a.frontend); // A has no worker.
console.log(`client of A: ${await client.request("short")}`);

const reply = client.request("long");
await hasStarted;
await b.broker.close({ linger: 0 }); // Site B goes away.
const workerAtA = new PirateWorker(a.backend, ([task]) => `${task} done at A`, { dialect: "simple" });
console.log(`client of A: ${await reply}`);

const { sentToSites, returned } = a.broker.stats();
console.log(`site A: ${sentToSites} requests went to B, ${returned} came back`);
await client.close();
await Promise.all([workerAtB.close({ linger: 0 }), workerAtA.close(), a.broker.close()]);
