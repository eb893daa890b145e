/** Titanic: a request outlives its client and the broker's process, and waits for its worker. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
import { LmdbStore, Titanic, TitanicClient } from "shoal/titanic";

const directory = mkdtempSync(join(tmpdir(), "shoal-example-"));

/**
 * A broker with Titanic alongside, as `shoal majordomo broker --titanic DIR` starts them.
 *
 * @param {string} wanted
 */
async function serve(wanted) {
  const broker = new MajordomoBroker();
  await broker.bind(wanted);
  const endpoint = String(broker.lastEndpoint);
  const store = LmdbStore.open(directory);
  const titanic = new Titanic(endpoint, store);
  const stop = async () => {
    await titanic.close();
    await store.close();
    await broker.close();
  };
  return { endpoint, stop };
}

// A client leaves a request for a service that nobody offers yet, and goes.
let server = await serve("tcp://127.0.0.1:*");
let client = new MajordomoClient(server.endpoint);
let requests = new TitanicClient(client);
const uuid = await requests.request("resize", ["photo.jpg", "640"]);
assert.match(uuid, /^[0-9A-F]{32}$/);
assert.equal((await requests.reply(uuid)).status, "300");
await client.close();

// Broker and Titanic are started again; the request is in the folder.
await server.stop();
server = await serve(server.endpoint);

// Now a worker comes, and gets it.
const worker = new MajordomoWorker(server.endpoint, "resize", async ([name, width]) => `${name} at ${width}`);

// Anyone who has the UUID fetches the reply.
client = new MajordomoClient(server.endpoint);
requests = new TitanicClient(client);
const { status, body } = await requests.wait(uuid);
assert.equal(status, "200");
assert.equal(String(body[0]), "photo.jpg at 640");
await requests.forget(uuid);
assert.equal((await requests.reply(uuid)).status, "400");
console.log(`resized: ${body[0]}`);

await worker.close();
await client.close();
await server.stop();
rmSync(directory, { recursive: true });
