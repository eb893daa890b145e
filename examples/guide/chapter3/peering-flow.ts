/**
 * Peering, part 2: two sites, each with clients and workers; one has more requests than workers, the other one helps.
 *
 * Here is the routing by hand. A request goes to a free worker of its own site if there is one, otherwise to the other site,
 * which has to take it from a peer as it would from a client. Look at the routing ids: the sites connect their ROUTERs to each
 * other, so each has chosen a name by which it can be addressed first. What this sketch does not do (another site that dies
 * with requests, requests sent back and forth) is in `peering.ts`.
 *
 *   node examples/guide/chapter3/peering-flow.ts
 */
import { Dealer, Envelope, Request, Router } from "shoal";

/** Opens a site; `workers` answer there, `other` is the site that helps. */
async function openSite(name: string, workers: number, other: string) {
  const clients = new Router();
  const backend = new Router();
  const cloud = new Router({ routingId: name }); // What the other site asks of this one, and its replies.
  await clients.bind(`inproc://${name}-clients`);
  await backend.bind(`inproc://${name}-workers`);
  await cloud.bind(`inproc://${name}-cloud`);
  const help = new Router({ routingId: name }); // What this site asks of the other one.
  const free: Buffer[] = [];
  let sent = 0;

  const readWorkers = async () => {
    for await (const message of backend) {
      const { envelope: worker, body } = Envelope.parse(message);
      free.push(worker.routingId);
      if (body.length === 1) continue; // READY
      const { envelope, body: reply } = Envelope.parse(body);
      // The first hop is the site that has asked, or a client of this one.
      const socket = String(envelope.routingId) === other ? cloud : clients;
      await socket.reply(envelope, reply);
    }
  };
  const route = async (message: Buffer[]) => {
    const worker = free.shift();
    if (worker !== undefined) await backend.send([worker, "", ...message]);
    else {
      sent += 1;
      await help.send([other, ...message]);
    }
  };
  const readClients = async () => {
    for await (const message of clients) await route(message);
  };
  const readCloud = async () => {
    for await (const message of cloud) await route(message);
  };
  const readHelp = async () => {
    for await (const [, ...reply] of help) await clients.send(reply); // The first frame names the site.
  };
  const reading = [readWorkers(), readClients(), readCloud(), readHelp()];

  const pool = Array.from({ length: workers }, () => new Dealer());
  const working = pool.map(async (worker) => {
    worker.connect(`inproc://${name}-workers`);
    await worker.send(["", "READY"]);
    for await (const [, ...request] of worker) {
      const { envelope, body } = Envelope.parse(request);
      await worker.send(["", ...envelope.wrap(`${body[0]} done at ${name}`)]);
    }
  });
  const close = async () => {
    for (const socket of [clients, backend, cloud, help, ...pool]) await socket.close();
    await Promise.all([...reading, ...working]);
  };
  return { help, close, sent: () => sent };
}

const [a, b] = [await openSite("A", 0, "B"), await openSite("B", 2, "A")];
a.help.connect("inproc://B-cloud", { routingId: "B" });
b.help.connect("inproc://A-cloud", { routingId: "A" });

const client = new Request();
client.connect("inproc://A-clients");
for (const task of ["one", "two", "three"]) console.log(`client of A: ${await client.request(task)}`);
console.log(`site A: ${a.sent()} requests went to B`);
await client.close();
await Promise.all([a.close(), b.close()]);
