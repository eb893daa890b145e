/**
 * The same broker with envelopes: the address part of a message as one object, however many hops it has.
 *
 * The Guide's lbbroker2 uses a library's class for messages. Look at `Envelope`: `parse` takes the address off, `wrap` puts it
 * in front, and nobody counts frames. Clients may be REQ or DEALER, directly or behind a further broker.
 *
 *   node examples/guide/chapter3/balancer-by-envelopes.ts
 */
import { Dealer, Envelope, Request, Router } from "shoal";

const frontend = new Router();
const backend = new Router();
await frontend.bind("inproc://clients");
await backend.bind("inproc://workers");

const free: Envelope[] = []; // Workers.
const waiting: { envelope: Envelope; body: Buffer[] }[] = []; // Requests that no worker is free for.

async function dispatch(): Promise<void> {
  while (free.length > 0 && waiting.length > 0) {
    const [worker, request] = [free.shift(), waiting.shift()];
    if (worker && request) await backend.reply(worker, request.envelope.wrap(request.body));
  }
}

async function readFrontend(): Promise<void> {
  for await (const message of frontend) {
    waiting.push(Envelope.parse(message));
    await dispatch();
  }
}

async function readBackend(): Promise<void> {
  for await (const message of backend) {
    const { envelope: worker, body } = Envelope.parse(message);
    free.push(worker);
    if (body.length > 1) {
      const { envelope: client, body: reply } = Envelope.parse(body);
      await frontend.reply(client, reply);
    }
    await dispatch();
  }
}
const reading = [readFrontend(), readBackend()];

/** A worker by hand: it sends READY, and then each reply with the address that came with the request. */
const worker = new Dealer();
worker.connect("inproc://workers");
async function work(): Promise<void> {
  await worker.send(["", "READY"]);
  for await (const [, ...request] of worker) {
    const { envelope: client, body } = Envelope.parse(request);
    await worker.send(["", ...client.wrap(`${body[0]} OK`)]);
  }
}
const working = work();

const client = new Request();
client.connect("inproc://clients");
for (const request of ["one", "two", "three"]) console.log(`client: ${await client.request(request)}`);

await Promise.all([client, worker, frontend, backend].map((socket) => socket.close()));
await Promise.all([...reading, working]);
