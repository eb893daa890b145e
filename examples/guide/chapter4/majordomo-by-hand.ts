/**
 * What Majordomo sends: a client and a worker of 7/MDP by hand, frame by frame, at a broker of shoal.
 *
 * This is what the Guide's mdcliapi and mdwrkapi wrap. Look at the command byte of a worker's messages, and at the client's
 * address, which the worker gets with each request and has to send back with the reply. A program that is to run for long
 * takes `MajordomoClient` and `MajordomoWorker`: what is missing here is all that happens when something fails.
 *
 *   node examples/guide/chapter4/majordomo-by-hand.ts
 */
import { setInterval } from "node:timers";
import { Dealer, Request } from "shoal";
import { MajordomoBroker } from "shoal/patterns";

const [READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT] = [1, 2, 3, 4, 5].map((byte) => Buffer.from([byte]));
const broker = new MajordomoBroker();
const endpoint = await broker.bind("tcp://127.0.0.1:*");

const worker = new Dealer();
worker.connect(endpoint);
const say = (command: Buffer | undefined, ...frames: (string | Buffer)[]) =>
  worker.send(["", "MDPW01", command ?? "", ...frames]); // An empty frame, as REQ would send it.
await say(READY, "echo");
const beats = setInterval(() => say(HEARTBEAT), 1_000);

const working = (async () => {
  for await (const [, , command, client, , ...body] of worker) {
    if (command === undefined || client === undefined) continue;
    if (DISCONNECT?.equals(command)) break;
    if (REQUEST?.equals(command)) await say(REPLY, client, "", ...body); // Everything else is a heartbeat.
  }
})();

const client = new Request(); // It adds the empty frame itself.
client.connect(endpoint);
await client.send(["MDPC01", "echo", "Hello world"]);
const [protocol, service, reply] = await client.receive({ timeout: 2_500 });
console.log(`client: ${protocol} ${service} ${reply}`);

clearInterval(beats);
await client.close();
await say(DISCONNECT);
await worker.close();
await working;
await broker.close();
