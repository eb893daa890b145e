/**
 * Clone, model 2: a client that comes late asks for the whole map, and goes on with the updates from there.
 *
 * Two channels, one order: the snapshot ends with the number of the last update in it, and older updates are dropped. Look at
 * the order in the client: it subscribes, waits for the first update, and asks only then. The Guide's client asks at once, and
 * loses what is published after the snapshot and before its subscription has arrived.
 *
 *   node examples/guide/chapter5/clone-snapshot.ts
 */
import { setInterval } from "node:timers/promises";
import { Dealer, Envelope, Publisher, Router, Subscriber } from "shoal";

const frame = (sequence: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(sequence));
  return bytes;
};
const publisher = new Publisher();
const snapshots = new Router();
await publisher.bind("inproc://updates");
await snapshots.bind("inproc://snapshots");
const served = new Map<string, string>();
let sequence = 0;

async function publishUpdate(): Promise<void> {
  sequence += 1;
  const [key, value] = [String(sequence % 100), String(sequence)];
  served.set(key, value);
  await publisher.send([key, frame(sequence), value]);
}

async function sendSnapshots(): Promise<void> {
  for await (const message of snapshots) {
    const { envelope, body } = Envelope.parse(message);
    if (String(body[0]) !== "ICANHAZ?") continue;
    // Nothing is awaited between the copy and the number, so they belong together.
    const [entries, last] = [[...served], sequence];
    for (const [key, value] of entries) await snapshots.reply(envelope, [key, frame(last), value]);
    await snapshots.reply(envelope, ["KTHXBAI", frame(last), ""]);
  }
}
const serving = sendSnapshots();
for (let i = 0; i < 500; i++) await publishUpdate(); // Long before the client.

const ended = new AbortController();
const publishing = (async () => {
  for await (const _ of setInterval(1)) {
    if (ended.signal.aborted) break;
    await publishUpdate();
  }
})();

const updates = new Subscriber();
updates.connect("inproc://updates");
updates.subscribe();
const asking = new Dealer();
asking.connect("inproc://snapshots");
const first = await updates.receive(); // From here on it misses nothing.
await asking.send("ICANHAZ?");
const map = new Map<string, string>();
let last = 0;
for (;;) {
  const [key, number, value] = await asking.receive();
  last = Number(number?.readBigUInt64BE());
  if (String(key) === "KTHXBAI") break;
  map.set(String(key), String(value));
}
console.log(`client: a snapshot of ${map.size} keys`);

const pending = [first];
let applied = 0;
for (const until = last + 20; last < until; ) {
  const [key, number, value] = pending.shift() ?? (await updates.receive());
  const at = Number(number?.readBigUInt64BE());
  if (at <= last) continue; // It is in the snapshot.
  if (at !== last + 1) throw new Error(`update ${at} follows ${last}`);
  map.set(String(key), String(value));
  last = at;
  applied += 1;
}
ended.abort();
await publishing;
console.log(`client: ${applied} updates after it, without a gap`);
await Promise.all([asking, updates, snapshots, publisher].map((socket) => socket.close()));
await serving;
