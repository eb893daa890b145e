// @ts-check
/** Services of a cluster: a query to several nodes, and a channel 5 that is encrypted for holders of the key. */
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { ClusterNode } from "shoal/cluster";

const cluster = `services-${process.pid}`; // Of this program alone.
const [one, two, three] = ["one", "two", "three"].map(
  (name) => new ClusterNode({ name, cluster, tags: [`service_${name}`] }),
);
assert(one && two && three);

// What a query is, is the program's to say. Nothing that arrives is ever evaluated as code.
for (const [node, word] of /** @type {const} */ ([
  [one, "Hello,"],
  [two, "World!"],
]))
  node.onQuery(({ data, member }) => {
    if (!member.local) throw new Error("Only Local can Query");
    return data === "word" ? word : "";
  });

/** Hooks of one channel: what is sent on it is encrypted, and what is not does not come through. @param {ClusterNode} node */
function encryptChannel5(node) {
  node.channels.join(5);
  node.hook("channel:send", { channels: [5] }, ({ data }) => {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    return { data: Buffer.concat([nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()]) };
  });
  node.hook("channel:receive", { channels: [5] }, ({ data }) => {
    if (typeof data === "string") throw new Error("not encrypted");
    const decipher = createDecipheriv("aes-256-gcm", key, data.subarray(0, 12));
    decipher.setAuthTag(data.subarray(-16));
    return { data: Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]).toString() };
  });
}
const key = randomBytes(32);
encryptChannel5(one);
encryptChannel5(three);
two.channels.join(5); // It listens there, and has no key.

await Promise.all([one, two, three].map((node) => node.start()));
while (three.members({ self: false }).length < 2)
  await new Promise((resolve) => three.events.once("joined", resolve));

// Each answer comes with who gave it; one that fails, or is late, ends nothing for the others.
const query = three.query({ resolve: "localhost", data: "word" });
/** @type {string[]} */
const words = [];
for await (const { data, error } of query) if (error === undefined) words.push(String(data));
console.log(words.sort().join(" "));
assert.deepEqual(words.sort(), ["Hello,", "World!"]);

const got = new Promise((resolve) => one.onMessage(({ data }) => resolve(data), { channels: [5] }));
/** @type {unknown[]} */
const overheard = [];
two.onMessage(({ data }) => void overheard.push(data), { channels: [5] });
const { sent, means } = await three.send({
  resolve: "localhost",
  channel: 5,
  data: "the key is under the mat",
});
console.log(`sent to ${sent.length} by ${means}`);
assert.equal(await got, "the key is under the mat");
while (overheard.length === 0) await new Promise((resolve) => setImmediate(resolve));
assert(overheard.every((data) => !String(data).includes("mat")));

await Promise.all([one, two, three].map((node) => node.close()));
