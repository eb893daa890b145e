/**
 * Clone, model 5: values that end by themselves, and the form of the messages that 12/CHP gives them.
 *
 * A client sets a value with a time to live, and sets it again as long as it is there: presence, a lease, a load. The server
 * removes what was not renewed, and everybody hears of it as of any change. From here on the program uses `CloneServer`. Look at
 * the frames, which a plain SUB sees at the server's second port: the Guide's kvmsg is a class for these five.
 *
 *   node examples/guide/chapter5/clone-ephemeral.ts
 */
import { Subscriber, text } from "shoal";
import { CloneClient, CloneServer } from "shoal/clone";

const heartbeatInterval = 50; // ms. The server's heartbeat is the message HUGZ.
const server = new CloneServer({ heartbeatInterval });
const endpoint = await server.bind("tcp://127.0.0.1:*"); // The first of three ports: P, P + 1, P + 2.
const updates = endpoint.replace(/\d+$/, (port) => String(Number(port) + 1));

const raw = new Subscriber();
raw.connect(updates);
raw.subscribe("/presence/", "HUGZ");
await raw.receive(); // A first HUGZ: its subscriptions have arrived.

const map = new CloneClient(endpoint, { codec: text(), heartbeatInterval });
await map.ready();
const watch = map.watch("/presence/");
await map.set("/presence/alice", "here", { ttl: 100 }); // ms. Nobody renews it.
for await (const { type, key, value } of watch) {
  console.log(`client: ${type} ${key}${type === "set" ? ` = ${value}` : ""}`);
  if (type === "delete") break;
}

//   key | sequence (8) | UUID (16) | properties | value, empty where the key is removed
for (let left = 2; left > 0; ) {
  const [key, sequence, uuid, properties, value] = await raw.receive();
  if (String(key) === "HUGZ") continue;
  const ttl = /^ttl=/m.test(String(properties)) ? "a time to live" : "no time to live";
  console.log(`${key} | ${sequence?.length} bytes | ${uuid?.length} bytes | ${ttl} | "${value}"`);
  left -= 1;
}
await raw.close();
await map.close();
await server.close();
