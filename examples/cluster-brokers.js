// @ts-check
/**
 * Brokers found by name in a cluster: a client and a worker take a resolver in place of endpoints. Of three broker processes one
 * is killed and one drains, and no request is lost.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ClusterNode } from "shoal/cluster";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";

const [role, name = "", cluster = `example-brokers-${process.pid}`] = process.argv.slice(2);
if (role === "broker") await broke();
else await ask();

/** A broker with a node that advertises it; it drains on a message, and goes. */
async function broke() {
  const node = new ClusterNode({ name, cluster });
  const broker = new MajordomoBroker();
  node.announce({ kitchen: await broker.bind("tcp://127.0.0.1:*") }, broker);
  await node.start();
  process.once("message", async () => {
    await node.drain(); // It is in no resolver's list, its users go elsewhere, and the broker has finished and closed.
    await node.leave();
    process.disconnect();
  });
  process.once("disconnect", () => process.exit(0));
}

async function ask() {
  const brokers = ["cod", "eel", "ray"].map((fish) =>
    fork(fileURLToPath(import.meta.url), ["broker", fish, cluster]),
  );
  const node = new ClusterNode({ name: "diner", cluster });
  await node.start();
  const kitchen = node.resolver({ has: ["kitchen"] });
  const worker = new MajordomoWorker(kitchen, "cook", ([dish]) => `${dish}, cooked`, { concurrency: 8 });
  const client = new MajordomoClient(kitchen, { heartbeatInterval: 500 });
  /** Brokers that the client has used. @type {Set<string>} */
  const used = new Set();
  client.events.on("broker:joined", ({ endpoint }) => used.add(endpoint));
  // Lists of endpoints as they change: who has joined may advertise later.
  for await (const found of kitchen.endpoints(new AbortController().signal)) if (found.length === 3) break;
  await client.ready();

  let [asked, answered] = [0, 0];
  /** Asks eight at a time, until so many are answered. @param {number} enough */
  const eat = (enough) =>
    Promise.all(
      Array.from({ length: 8 }, async () => {
        while (answered < enough) {
          const dish = `dish ${++asked}`;
          assert.equal(String(await client.request("cook", dish)), `${dish}, cooked`);
          answered += 1;
        }
      }),
    );

  await eat(200);
  const inUse = () =>
    kitchen.members.find(({ endpoints }) => endpoints.kitchen?.includes(client.stats().broker ?? ""));
  /** @param {string | undefined} full */
  const processOf = (full) => brokers[["cod", "eel", "ray"].indexOf(String(full).split("@")[0] ?? "")];

  // The broker in use is killed in the middle of the requests.
  const meal = eat(600);
  processOf(inUse()?.name)?.kill("SIGKILL");
  await meal;
  // The next one takes nothing new, finishes, and leaves.
  const second = eat(1_000);
  processOf(inUse()?.name)?.send("drain");
  await second;

  console.log(`${asked} requests, ${answered} answers, by ${used.size} brokers`);
  assert.equal(answered, asked);
  assert.ok(used.size >= 2);
  await Promise.all([client.close(), worker.close()]);
  for (const broker of brokers) if (broker.connected) broker.disconnect();
  await node.close();
}
