/**
 * What Majordomo sends: a client and a worker of 7/MDP by hand, frame by frame, at a broker of shoal.
 *
 * This is what the Guide's mdcliapi and mdwrkapi wrap. Look at the command byte of a worker's messages, and at the client's
 * address, which the worker gets with each request and has to send back with the reply. A program that is to run for long
 * takes `MajordomoClient` and `MajordomoWorker`: what is missing here is all that happens when something fails.
 *
 *   node examples/guide/chapter4/majordomo-by-hand.ts
 */
import { Dealer, Request } from "shoal";
import { MajordomoBroker } from "shoal/majordomo";

const READY = 1;
const REQUEST = 2;
const REPLY = 3;
const HEARTBEAT = 4;
const DISCONNECT = 5;

const broker = new MajordomoBroker();
const endpoint = await broker.bind("tcp://127.0.0.1:*");

const worker = new Dealer();
worker.connect(endpoint);
/** "" | MDPW01 | command | frames… */
async function command(byte: number, ...frames: (string | Buffer)[]): Promise<void> {
  await worker.send(["", "MDPW01", Buffer.from([byte]), ...frames]);
}

async function work(): Promise<void> {
  //   "" | MDPW01 | REQUEST | client | "" | body…        other commands have three frames
  for await (const [, , byte, client = "", , ...body] of worker) {
    if (byte?.[0] === DISCONNECT) break;
    if (byte?.[0] === REQUEST) await command(REPLY, client, "", ...body);
  }
}
await command(READY, "echo");
const beats = setInterval(() => command(HEARTBEAT), 1_000);
const working = work();

const client = new Request(); // A REQ adds the empty frame itself.
client.connect(endpoint);
await client.send(["MDPC01", "echo", "Hello world"]);
const [protocol, service, reply] = await client.receive({ timeout: 2_500 });
console.log(`client: ${protocol} ${service} ${reply}`);

clearInterval(beats);
await client.close();
await command(DISCONNECT);
await worker.close();
await working;
await broker.close();
