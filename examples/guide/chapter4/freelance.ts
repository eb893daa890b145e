/**
 * Freelance, model 3: the client knows which servers live and which is the fastest, and asks only that one.
 *
 * PINGs keep the list up to date, between requests as well (10/FLP). Look at the name of a server: it is its endpoint as
 * clients dial it, since the client addresses a server before it has received anything from it. Look at the last line: the
 * client has noticed which server is gone.
 *
 *   node examples/guide/chapter4/freelance.ts [server | client] [ENDPOINT…]
 */
import { FreelanceClient, FreelanceServer } from "shoal/freelance";

const [role = "all", ...given] = process.argv.slice(2);

async function startServer(endpoint = "tcp://127.0.0.1:*"): Promise<FreelanceServer> {
  const server = new FreelanceServer(([body]) => `${body} done`);
  await server.bind(endpoint); // Also its name: bind it to what clients dial.
  return server;
}

if (role === "server") {
  const server = await startServer(given[0] ?? "tcp://127.0.0.1:5555");
  process.once("SIGINT", () => server.close());
} else if (role === "client") {
  const client = new FreelanceClient(given.length > 0 ? given : ["tcp://127.0.0.1:5555"]);
  console.log(String(await client.request("Hello")));
  await client.close();
} else {
  const servers = await Promise.all([startServer(), startServer(), startServer()]);
  const client = new FreelanceClient(servers.map(({ endpoint }) => endpoint ?? ""));
  console.log(String(await client.request("request 1")));
  await servers[0]?.close();
  for (let i = 2; i <= 10; i++) await client.request(`request ${i}`);
  console.log("10 requests answered, with one server gone");
  console.log(`servers alive: ${client.servers().filter(({ alive }) => alive).length} of ${servers.length}`);
  await client.close();
  await Promise.all(servers.map((server) => server.close()));
}
