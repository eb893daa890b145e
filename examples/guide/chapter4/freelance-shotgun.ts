/**
 * Freelance, model 2: the client asks all servers at once, and the first reply wins.
 *
 * Nothing is faster, and no failure is noticed as long as one server lives. Look at the price: each request is handled by every
 * server. Each carries a number, so that the replies that come later are not taken for those of the next request.
 *
 *   node examples/guide/chapter4/freelance-shotgun.ts [server | client] [ENDPOINT…]
 */
import { setTimeout } from "node:timers/promises";
import { FreelanceServer, FreelanceShotgunClient } from "shoal/freelance";

const [role = "all", ...given] = process.argv.slice(2);
const handled: string[] = [];

async function startServer(name: string, delay: number, endpoint = "tcp://127.0.0.1:*") {
  const handle = async ([body]: Buffer[]) => {
    handled.push(name);
    await setTimeout(delay); // Some are faster than others.
    return `${body} by ${name}`;
  };
  const server = new FreelanceServer(handle, { model: 2 });
  await server.bind(endpoint);
  return server;
}

if (role === "server") {
  const server = await startServer(String(process.pid), 1, given[0] ?? "tcp://127.0.0.1:5555");
  process.once("SIGINT", () => server.close());
} else if (role === "client") {
  const client = new FreelanceShotgunClient(given.length > 0 ? given : ["tcp://127.0.0.1:5555"]);
  console.log(String(await client.request("Hello")));
  await client.close();
} else {
  const servers = [await startServer("slow", 100), await startServer("fast", 1)];
  const client = new FreelanceShotgunClient(servers.map(({ endpoint }) => endpoint ?? ""));
  await client.ready();
  for (const request of ["request 1", "request 2"]) console.log(String(await client.request(request)));
  await client.close();
  await Promise.all(servers.map((server) => server.close()));
  console.log(`handled by the slow one, too: ${handled.includes("slow")}`);
}
