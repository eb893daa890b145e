// @ts-check
/** A pool of worker threads, reached by name: inproc between the threads of a process. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { isMainThread, Worker } from "node:worker_threads";
import { Pull, Push } from "shoal";

const WORKERS = 2;

if (isMainThread) {
  const tasks = new Push();
  const results = new Pull();
  await tasks.bind("inproc://tasks");
  await results.bind("inproc://results");

  const pool = Array.from({ length: WORKERS }, () => new Worker(new URL(import.meta.url)));
  await tasks.ready({ peers: WORKERS }); // Otherwise the first worker there would get everything.

  const texts = Array.from({ length: 100 }, (_, i) => `text ${i}`);
  for (const text of texts) await tasks.send(text);
  const digests = new Map();
  while (digests.size < texts.length) {
    const [text, digest] = await results.receive();
    digests.set(String(text), String(digest));
  }
  for (const _ of pool) await tasks.send(""); // In turn: one for each.
  const codes = await Promise.all(
    pool.map((worker) => new Promise((resolve) => worker.once("exit", resolve))),
  );
  await tasks.close();
  await results.close();

  assert.deepEqual(codes, [0, 0]);
  for (const text of texts) assert.equal(digests.get(text), digestOf(text));
  console.log(`${digests.size} digests by ${WORKERS} threads`);
} else {
  const tasks = new Pull();
  const results = new Push();
  tasks.connect("inproc://tasks");
  results.connect("inproc://results");
  for await (const [text] of tasks) {
    if (text === undefined || text.length === 0) break; // An empty task: no more.
    await results.send([text, digestOf(text)]);
  }
  await tasks.close();
  await results.close();
}

/** @param {string | Buffer} text */
function digestOf(text) {
  return createHash("sha256").update(text).digest("hex");
}
