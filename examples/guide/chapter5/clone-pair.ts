/**
 * Clone, model 6: two servers, one of them active; its loss loses no acknowledged change.
 *
 * The servers are a Binary Star. Clients know both, and send changes to the active one. Look at `await map.set(…)`: it settles
 * when the change has its number and is at both servers. Then the primary closes. The client finds the backup, which has the
 * whole map, and continues. The Guide leaves open which of two maps counts after both were down: terms and sequences decide it.
 *
 *   node examples/guide/chapter5/clone-pair.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "shoal";
import { CloneClient, CloneServer } from "shoal/clone";

const folder = mkdtempSync(join(tmpdir(), "shoal-clone-"));
const [p, b] = [`ipc://${join(folder, "p")}`, `ipc://${join(folder, "b")}`];
const heartbeatInterval = 100;
const primary = new CloneServer({ pair: { role: "primary", peer: b }, heartbeatInterval });
const backup = new CloneServer({ pair: { role: "backup", peer: p }, heartbeatInterval });
const joined = new Promise((resolve) => primary.events.once("replica:joined", resolve));
await Promise.all([primary.bind(p), backup.bind(b)]);

const map = new CloneClient([p, b], { heartbeatInterval, codec: text() });
await map.set("/fish/cod", "4.20"); // A client's request is what makes the primary serve.
await joined; // The backup has the whole map.
await map.set("/fish/eel", "7.90");
console.log("the primary serves, the backup is in step");

await primary.close();
await map.set("/fish/ray", "5.10"); // The backup has put it in order.
for (const [key, price] of map.entries()) console.log(`${key} ${price}`);
console.log(`the client has failed over: ${map.stats().failOvers > 0}`);

await map.close();
await backup.close();
rmSync(folder, { recursive: true });
