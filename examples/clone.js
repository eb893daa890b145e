/** Clone: a key-value map that every client holds, with changes in one order for all. */
import assert from "node:assert/strict";
import { json } from "shoal";
import { CloneClient, CloneServer } from "shoal/clone";

const server = new CloneServer();
const servers = await server.bind("tcp://127.0.0.1:*"); // As a service: tcp://*:5556.

// Two clients; the second wants one subtree only.
/** @type {CloneClient<{ celsius: number }>} */
const kitchen = new CloneClient(servers, { codec: json() });
/** @type {CloneClient<{ celsius: number }>} */
const display = new CloneClient(servers, { subtree: "/sensors/", codec: json() });
await Promise.all([kitchen.ready(), display.ready()]);

// The display hears of every change.
const changes = display.watch("/sensors/");

// A set settles when the server has put it in order. This one ends by itself, unless it is set again.
await kitchen.set("/sensors/kitchen", { celsius: 21 });
await kitchen.set("/sensors/kitchen", { celsius: 22 }, { ttl: 300 });
await kitchen.set("/notes/today", { celsius: 0 }); // Not the display's.

const seen = [];
for await (const { type, old, value } of changes) {
  seen.push(`${type} ${old?.celsius} -> ${value?.celsius}`);
  if (type === "delete") break;
}
assert.deepEqual(seen, ["set undefined -> 21", "set 21 -> 22", "delete 22 -> undefined"]);
console.log(seen.join(", "));

// Who comes late has the whole map at once.
const late = new CloneClient(servers, { codec: json() });
await late.ready();
assert.deepEqual([...late.entries()], [["/notes/today", { celsius: 0 }]]);

await Promise.all([kitchen.close(), display.close(), late.close()]);
await server.close();
