/**
 * Lazy Pirate: a client that does not wait forever. It asks again when no reply comes, and gives up in the end.
 *
 * The Guide's client throws its REQ socket away after each timeout, since a REQ that waits for a reply cannot send. Look at
 * `PirateClient`, which does just that, and takes another server if it has several. The server here is as unreliable as the
 * Guide's: it is slow once, then it dies and comes back. Look at the last request, too: a failure is an error with a code.
 *
 *   node examples/guide/chapter4/lazy-pirate.ts [server | successor | client] [ENDPOINT]
 */
import { setTimeout } from "node:timers/promises";
import { Reply, text } from "shoal";
import { PirateClient } from "shoal/pirate";

const [role = "all", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://lazy-pirate" : "tcp://127.0.0.1:5555");

/** A server that has trouble: it is slow with the request "two", once, and dies with "three". */
async function serveBadly(): Promise<void> {
  const server = new Reply({ codec: text() });
  await server.bind(endpoint);
  let isSlow = true;
  for await (const [request] of server) {
    if (request === "three") break;
    if (request === "two" && isSlow) {
      isSlow = false;
      await setTimeout(150);
    }
    await server.send(`${request}, done`);
  }
  console.log("server: dies");
  await server.close({ linger: 0 });
}

/** The server that is started in its place. Answers until its socket closes. */
async function serve(server: Reply<string>): Promise<void> {
  for await (const [request] of server) await server.send(`${request}, done by the new server`);
}

async function ask(): Promise<void> {
  const client = new PirateClient(endpoint, { attemptTimeout: 100, retries: 10 });
  client.events.on("request:retried", ({ attempt }) => console.log(`client: no reply, attempt ${attempt}`));
  for (const request of ["one", "two", "three"]) console.log(`client: ${await client.request(request)}`);
  await client.close();
}

if (role === "server") await serveBadly();
else if (role === "client") await ask();
else if (role === "successor") {
  const server = new Reply({ codec: text() });
  await server.bind(endpoint);
  process.once("SIGINT", () => server.close());
  await serve(server);
} else {
  const asking = ask();
  await serveBadly();
  const server = new Reply({ codec: text() });
  await server.bind(endpoint);
  const serving = serve(server);
  await asking;
  await server.close();
  await serving;

  const client = new PirateClient(endpoint, { attemptTimeout: 20, retries: 1 });
  await client.request("four").catch((error) => console.log(`client: ${error.code}`));
  await client.close();
}
