// @ts-check
/**
 * Titanic with several front ends on one store: a request is left at one of them, which goes, and its reply is fetched from another.
 * With DATABASE_URL the store is PostgreSQL's, and the front ends may be on machines of their own; without, they share a folder's in
 * this process.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClusterNode } from "shoal/cluster";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
import { LmdbStore, PostgresStore, Titanic, TitanicClient } from "shoal/titanic";

const cluster = `example-titanic-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), "shoal-example-"));
const { DATABASE_URL } = process.env;
const store =
  DATABASE_URL === undefined
    ? LmdbStore.open(folder)
    : await PostgresStore.open({ connectionString: DATABASE_URL });

/** A broker and a Titanic, announced as one program. @param {string} name */
async function front(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const broker = new MajordomoBroker();
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const titanic = new Titanic(endpoint, store, { scanInterval: 100, checkInterval: 100 });
  node.announce(
    { fronts: endpoint },
    {
      drain: async (options) => {
        await titanic.drain(options);
        await broker.drain(options);
      },
      close: async () => {
        await titanic.close();
        await broker.close();
      },
    },
  );
  return node;
}

const [one, two] = await Promise.all([front("one"), front("two")]);
const guest = new ClusterNode({ name: "guest", cluster });
await guest.start();
const fronts = guest.resolver({ has: ["fronts"] });

// Nobody offers the service yet. What is acknowledged is on disk.
const client = new MajordomoClient(fronts);
const requests = new TitanicClient(client);
const uuid = await requests.request("resize", ["photo.jpg", "640"]);
await one.drain();
await one.leave();

guest.announce({}, new MajordomoWorker(fronts, "resize", async ([name, width]) => `${name} at ${width}`));
const { status, body } = await requests.wait(uuid);
assert.deepEqual([status, String(body[0])], ["200", "photo.jpg at 640"]);
await requests.forget(uuid);
console.log(`resized: ${body[0]}`);

await client.close();
for (const node of [guest, two]) {
  await node.drain();
  await node.leave();
}
await store.close();
rmSync(folder, { recursive: true });
