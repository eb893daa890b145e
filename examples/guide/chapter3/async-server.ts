/**
 * The asynchronous client and server: many requests in flight, and each request may have any number of replies.
 *
 * REQ and REP allow one question and one answer at a time. DEALER and ROUTER have no such rule: a client sends whenever it
 * likes, and reads whatever comes. The Guide's server needs a pool of threads, since its handlers block. Look at `handle`: it
 * is not awaited, so the requests of all clients are worked on at once in a single thread.
 *
 *   node examples/guide/chapter3/async-server.ts [server | client] [ENDPOINT]
 */
import { setTimeout } from "node:timers/promises";
import { Dealer, Envelope, Router } from "shoal";

const [role = "all", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://async-server" : "tcp://127.0.0.1:5570");
const REPLIES = 3;

async function serve(server: Router): Promise<void> {
  const handling = new Set<Promise<void>>();
  for await (const message of server) {
    const handled = handle(server, message).finally(() => handling.delete(handled));
    handling.add(handled);
  }
  await Promise.allSettled(handling);
}

async function handle(server: Router, message: Buffer[]): Promise<void> {
  const { envelope, body } = Envelope.parse(message);
  for (let i = 1; i <= REPLIES; i++) {
    await setTimeout(5); // Some work before each reply.
    await server.reply(envelope, `${body[0]}, reply ${i}`);
  }
}

async function ask(name: string): Promise<void> {
  const client = new Dealer({ routingId: name });
  client.connect(endpoint);
  for (const request of ["request 1", "request 2"]) await client.send(["", request]); // Both at once.
  for (let left = 2 * REPLIES; left > 0; left--) {
    const [, reply] = await client.receive();
    console.log(`${name}: ${reply}`);
  }
  await client.close();
}

if (role === "client") await ask(`client ${process.pid}`);
else {
  const server = new Router();
  await server.bind(endpoint);
  const serving = serve(server);
  if (role === "server") process.once("SIGINT", () => server.close());
  else {
    await Promise.all([ask("client A"), ask("client B")]);
    await server.close();
  }
  await serving;
}
