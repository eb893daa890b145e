// @ts-check
/** Majordomo: a service behind a broker, two workers, errors, and an answer in pieces. */
import assert from "node:assert/strict";
import { MajordomoBroker, MajordomoClient, MajordomoWorker, ServiceError } from "shoal/majordomo";

const broker = new MajordomoBroker();
await broker.bind("tcp://127.0.0.1:*");
const endpoint = broker.lastEndpoint ?? "";

/** @param {Buffer[]} request */
const upper = async ([word]) => {
  if (word?.length === 0) throw Object.assign(new Error("nothing to shout"), { expose: true });
  return String(word).toUpperCase();
};
const workers = ["north", "south"].map(
  (name) => new MajordomoWorker(endpoint, "upper", upper, { concurrency: 8, name }),
);

// Any number of requests at once; each gets its own answer.
const client = new MajordomoClient(endpoint);
const fish = ["tuna", "cod", "eel"];
const answers = await Promise.all(fish.map((name) => client.request("upper", name)));
assert.deepEqual(answers.map(String), ["TUNA", "COD", "EEL"]);

// A handler that throws is an error at the client, and the worker goes on.
await assert.rejects(client.request("upper", ""), (error) => {
  return error instanceof ServiceError && error.reason === "worker-failed";
});

// An async generator answers in pieces.
async function* spell(/** @type {Buffer[]} */ [word]) {
  for (const letter of String(word)) yield letter;
  return undefined;
}
const speller = new MajordomoWorker(endpoint, "spell", spell);
const letters = [];
for await (const [letter] of client.stream("spell", "eel")) letters.push(String(letter));
assert.deepEqual(letters, ["e", "e", "l"]);

await client.close();
await Promise.all([...workers, speller].map((worker) => worker.close()));
await broker.close();
console.log(answers.join("\n"));
