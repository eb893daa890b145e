// @ts-check
/** A custom protocol: messages of a cluster through named pipes, and by TCP when these break. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClusterNode, streamProtocol } from "shoal/cluster";

const folder = mkdtempSync(join(tmpdir(), "shoal-pipes-"));
/** @type {Set<import("node:net").Socket>} */
const streams = new Set();

// Any stream of bytes will do: a pipe, the standard streams of a child process, a serial line.
const pipes = streamProtocol({
  name: "pipe",
  async listen(accept, { id }) {
    const path = process.platform === "win32" ? `\\\\.\\pipe\\shoal-${id}` : join(folder, id.slice(0, 8));
    const server = createServer(accept).listen(path);
    await once(server, "listening");
    // The other nodes get `advert`, and call `connect` with it.
    return { advert: path, close: async () => void server.close() };
  },
  async connect(path) {
    const stream = connect(path);
    await once(stream, "connect");
    streams.add(stream);
    stream.once("close", () => streams.delete(stream));
    return stream;
  },
});

const cluster = `protocol-${process.pid}`; // Of this program alone.
const [mill, farm] = ["mill", "farm"].map(
  (name) => new ClusterNode({ name, cluster, messaging: { protocols: [pipes, "tcp"] } }),
);
assert(mill && farm);
const joined = [mill, farm].map((node) => new Promise((resolve) => node.events.once("joined", resolve)));
await Promise.all([mill.start(), farm.start()]);
await Promise.all(joined);

const harvest = farm.subscribe("harvest/+");
await harvest.ready;
const messages = harvest[Symbol.asyncIterator]();

/** The farm gets what the mill publishes. @returns by which protocol */
async function pass(/** @type {string} */ text) {
  assert.equal(await mill?.publish("harvest/wheat", text), 1);
  assert.equal(String((await messages.next()).value?.data), text);
  return mill?.stats().messaging?.links.peers.find(({ id }) => id === farm?.id)?.protocol;
}

assert.equal(await pass("12 t"), "pipe");
for (const stream of streams) stream.destroy();
// Nothing is lost, and the pipes are tried again later.
assert.equal(await pass("13 t"), "tcp");
console.log("12 t through a pipe, and 13 t by tcp");

await Promise.all([mill.close(), farm.close()]);
rmSync(folder, { recursive: true, force: true });
