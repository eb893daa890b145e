/**
 * Binary Star: two servers, of which one serves; the other one takes over when it is gone.
 *
 * A fail-over needs two signs: the peer is silent, and a client asks here. Look at the client, which knows both endpoints and
 * tries them in turn: its request is the second sign. Two servers that were cut from each other may both serve. When the link
 * is back they notice it: the Guide's abort, these are "fenced": they answer no one until an operator chooses one of them.
 *
 *   node examples/guide/chapter4/binary-star.ts [primary | backup | client]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryStarClient, BinaryStarServer } from "shoal/binary-star";

const [role = "all"] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "shoal-star-"));
const PORTS = { primary: 5001, backup: 5002, "primary-state": 5003, "backup-state": 5004 };
const at = (name: keyof typeof PORTS) =>
  role === "all" ? `ipc://${join(folder, name)}` : `tcp://127.0.0.1:${PORTS[name]}`;

async function startServer(own: "primary" | "backup"): Promise<BinaryStarServer> {
  const server = new BinaryStarServer(([body]) => `${body}, from the ${own}`, {
    star: {
      role: own,
      peer: at(own === "primary" ? "backup-state" : "primary-state"),
      heartbeatInterval: 200,
    },
  });
  await server.bind("clients", at(own));
  await server.bind("state", at(`${own}-state`));
  return server;
}
const startClient = () => new BinaryStarClient([at("primary"), at("backup")], { attemptTimeout: 300 });

if (role === "primary" || role === "backup") {
  const server = await startServer(role);
  process.once("SIGINT", () => server.close());
} else if (role === "client") {
  const client = startClient();
  for (let i = 1; i <= 10; i++) console.log(String(await client.request(`request ${i}`)));
  await client.close();
} else {
  const [primary, backup] = await Promise.all([startServer("primary"), startServer("backup")]);
  await Promise.all([primary.ready(), backup.ready()]); // They have found each other.
  const client = startClient();
  console.log(String(await client.request("request 1")));
  await primary.close(); // As if its machine were gone.
  console.log(String(await client.request("request 2")));
  console.log(`the backup is ${backup.stats().star.state}`);
  await client.close();
  await backup.close();
}
rmSync(folder, { recursive: true });
