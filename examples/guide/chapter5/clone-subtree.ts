/**
 * Clone, model 4: a client that wants only a part of the map.
 *
 * Keys are paths, and a part is a prefix that ends with "/". Look at the two places where it counts: the snapshot has only the
 * keys below it, and the subscription is the same prefix, so that the others do not even travel. Look also at the numbers: they
 * count all updates, so a client of a part sees steps larger than one, and can no longer notice a loss by them.
 *
 *   node examples/guide/chapter5/clone-subtree.ts
 */
import { Dealer, Envelope, Publisher, Router, Subscriber } from "shoal";

const served = new Map([
  ["/client/alice", "here"],
  ["/client/bob", "away"],
  ["/server/load", "12"],
]);
const publisher = new Publisher();
const snapshots = new Router();
await publisher.bind("inproc://updates");
await snapshots.bind("inproc://snapshots");

async function sendSnapshots(): Promise<void> {
  for await (const message of snapshots) {
    const { envelope, body } = Envelope.parse(message);
    const [command, subtree] = body.map(String);
    if (command !== "ICANHAZ?" || subtree === undefined) continue;
    for (const [key, value] of served)
      if (key.startsWith(subtree)) await snapshots.reply(envelope, [key, value]);
    await snapshots.reply(envelope, ["KTHXBAI", subtree]);
  }
}
const serving = sendSnapshots();

const subtree = "/client/";
const updates = new Subscriber();
updates.connect("inproc://updates");
updates.subscribe(subtree);
await publisher.waitForSubscribers({ topic: subtree });
const asking = new Dealer();
asking.connect("inproc://snapshots");
await asking.send(["ICANHAZ?", subtree]);
for (;;) {
  const [key, value] = await asking.receive();
  if (String(key) === "KTHXBAI") break;
  console.log(`snapshot: ${key} is ${value}`);
}

let sequence = 0;
for (const [key, value] of [
  ["/client/bob", "here"],
  ["/server/load", "15"],
  ["/client/alice", "away"],
] as const)
  await publisher.send([key, value, String(++sequence)]);
for (let i = 0; i < 2; i++) {
  const [key, value, number] = await updates.receive();
  console.log(`update ${number}: ${key} is ${value}`);
}
await Promise.all([asking, updates, snapshots, publisher].map((socket) => socket.close()));
await serving;
