/**
 * Clone, model 1: a server publishes changes of a map, and clients apply them.
 *
 * A message is a key, a number and a value: the Guide's kvsimple is a class for it, here two functions do. The key is the topic.
 * Look at the sequence number: a client that sees a gap has lost updates. Look at what is missing: a client that comes late, or
 * loses an update, has another map than the others. The next models add what it takes.
 *
 *   node examples/guide/chapter5/clone-updates.ts
 */
import { Publisher, Subscriber } from "shoal";

/** key | sequence (8 bytes) | value */
function toFrames(key: string, sequence: number, value: string): (string | Buffer)[] {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(sequence));
  return [key, number, value];
}

function fromFrames([key, number, value]: Buffer[]) {
  return { key: String(key), sequence: Number(number?.readBigUInt64BE() ?? 0), value: String(value) };
}

const server = new Publisher();
await server.bind("inproc://clone-updates");
const client = new Subscriber();
client.connect("inproc://clone-updates");
client.subscribe();
await server.waitForSubscribers();

const UPDATES = 500;
const served = new Map<string, string>();
for (let sequence = 1; sequence <= UPDATES; sequence++) {
  const [key, value] = [String(sequence % 100), String(sequence)];
  served.set(key, value);
  await server.send(toFrames(key, sequence, value));
}

const map = new Map<string, string>();
let gaps = 0;
let last = 0;
while (last < UPDATES) {
  const { key, sequence, value } = fromFrames(await client.receive());
  if (sequence !== last + 1) gaps += 1;
  last = sequence;
  map.set(key, value);
}
const isEqual = [...served].every(([key, value]) => map.get(key) === value);
console.log(`client: ${last} updates, ${gaps} gaps, ${map.size} keys`);
console.log(`the maps are equal: ${isEqual}`);
await Promise.all([client.close(), server.close()]);
