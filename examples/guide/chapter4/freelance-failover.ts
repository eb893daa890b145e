/**
 * Freelance, model 1: several servers, no broker; the client asks one, and the next one when that does not answer.
 *
 * Look at how long the second request takes: the first server is gone, and its connection's end shows that at once; a server
 * that only hangs costs `attemptTimeout`. The client stays with the server that answered last. Simple, and right for few
 * requests; see model 3 for many.
 *
 *   node examples/guide/chapter4/freelance-failover.ts [server | client] [ENDPOINT…]
 */
import { FreelanceFailoverClient, FreelanceServer } from "shoal/freelance";

const [role = "all", ...given] = process.argv.slice(2);

async function startServer(name: string, endpoint = "tcp://127.0.0.1:*"): Promise<FreelanceServer> {
  const server = new FreelanceServer(([body]) => `${body} by ${name}`, { model: 1 });
  await server.bind(endpoint);
  return server;
}
const startClient = (endpoints: string[]) =>
  new FreelanceFailoverClient(endpoints, { attemptTimeout: 1_000 });

if (role === "server") {
  const server = await startServer(String(process.pid), given[0] ?? "tcp://127.0.0.1:5555");
  process.once("SIGINT", () => server.close());
} else if (role === "client") {
  const client = startClient(given.length > 0 ? given : ["tcp://127.0.0.1:5555"]);
  console.log(String(await client.request("Hello")));
  await client.close();
} else {
  const servers = [await startServer("the first"), await startServer("the second")];
  const client = startClient(servers.map(({ endpoint }) => endpoint ?? ""));
  console.log(String(await client.request("request 1")));
  await servers[0]?.close();
  console.log(String(await client.request("request 2")));
  await client.close();
  await servers[1]?.close();
}
