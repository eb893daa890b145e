// @ts-check
/** Dynamic clients: a program that knows one node of a cluster learns all of them, sends to each, and fails over. */
import assert from "node:assert/strict";
import { Pull, Push } from "shoal";
import { ClusterNode, DiscoveryClient, DiscoveryServer } from "shoal/cluster";

const cluster = `example-clients-${process.pid}`; // Of this program alone.

/** A node with a discovery server, and the service that its clients use. @param {string} name */
async function start(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const pull = new Pull();
  node.advertise("orders", await pull.bind("tcp://127.0.0.1:*"));
  const server = new DiscoveryServer(node, { endpoint: "tcp://127.0.0.1:*", users: { ana: "secret" } });
  await server.start();
  return { node, pull, server };
}

const kitchens = [await start("north"), await start("south")];
const [north] = kitchens;
assert(north?.server.endpoint !== undefined);

// The client is given one address, and has both nodes.
const client = new DiscoveryClient({
  addresses: north.server.endpoint,
  username: "ana",
  password: "secret",
  name: "waiter",
  service: "orders",
});
await client.ready();
const names = () =>
  client.nodes.filter((node) => node.endpoints.orders).map(({ name }) => name.split("@")[0]);
while (names().length < 2) await new Promise((resolve) => client.events.once("nodes:changed", resolve));
console.log(`nodes: ${names().sort()}`);

// A socket takes the client in place of an endpoint: it connects to what each node advertises.
const push = new Push();
push.connect(client);
await push.ready({ peers: 2 });
for (let i = 0; i < 4; i++) await push.send(`order ${i}`);
for (const { pull } of kitchens) for (let i = 0; i < 2; i++) await pull.receive();

// Its node goes: it is connected to the other one, and knows that the first is gone.
while (client.current === undefined)
  await new Promise((resolve) => client.events.once("node:connected", resolve));
const { name } = client.current;
const connected = new Promise((resolve) => client.events.once("node:connected", resolve));
const [gone, other] = north.node.name === name ? kitchens : [...kitchens].reverse();
assert(gone !== undefined && other !== undefined);
await gone.server.close();
await gone.node.leave();
await connected;
while (names().length > 1) await new Promise((resolve) => client.events.once("nodes:changed", resolve));
assert.equal(client.current?.name, other.node.name);

// The other node knows who is connected where.
const { clients } = await other.node.clients();
assert.deepEqual(
  clients.map((each) => [each.name, each.node]),
  [["waiter", other.node.name]],
);

await Promise.all([push.close(), client.close(), ...kitchens.map(({ pull }) => pull.close({ linger: 0 }))]);
await other.server.close();
await other.node.close();
