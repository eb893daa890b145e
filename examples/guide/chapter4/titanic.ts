/**
 * Titanic: requests on disk, for clients and workers that are not there at the same time.
 *
 * The client leaves a request, gets a UUID, and goes. Look at the order here: the reply is fetched by another client, after the
 * broker was started again, and the worker came last of all. The Guide's Titanic has a file per request and a queue file it
 * never shortens; this one has a store with transactions (`npm install lmdb`).
 *
 *   node examples/guide/chapter4/titanic.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
import { LmdbStore, Titanic, TitanicClient } from "shoal/titanic";

const folder = mkdtempSync(join(tmpdir(), "shoal-titanic-"));
async function start() {
  const broker = new MajordomoBroker();
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const store = LmdbStore.open(folder);
  const titanic = new Titanic(endpoint, store, { checkInterval: 50 }); // ms; how soon it sees a worker.
  const close = async () => {
    await titanic.close();
    await store.close();
    await broker.close();
  };
  return { endpoint, close };
}

let server = await start();
let client = new MajordomoClient(server.endpoint);
const first = new TitanicClient(client);
const uuid = await first.request("echo", "Hello world"); // It is on disk when this settles.
console.log(`first client: left a request, its status is ${(await first.reply(uuid)).status}`);
await client.close();

await server.close();
server = await start();

const worker = new MajordomoWorker(server.endpoint, "echo", (request) => request);
client = new MajordomoClient(server.endpoint);
const second = new TitanicClient(client);
const { status, body } = await second.wait(uuid);
console.log(`second client: ${status} ${body}`);
await second.forget(uuid);
console.log(`second client: forgotten, its status is ${(await second.reply(uuid)).status}`);

await Promise.all([client.close(), worker.close()]);
await server.close();
rmSync(folder, { recursive: true });
