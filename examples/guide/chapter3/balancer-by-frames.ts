/**
 * A load-balancing broker by hand, frame by frame: clients on one ROUTER, workers on the other.
 *
 * Both ends are REQ sockets. A worker sends READY and joins the list of free workers. A client's request goes to the worker that
 * has been free the longest, with the client's address, which the worker's reply carries back. Look at the frames in the two
 * loops: each hop adds or removes an address. While no worker is free, requests stay in the queue of the frontend.
 *
 *   node examples/guide/chapter3/balancer-by-frames.ts
 */
import { Request, Router } from "shoal";

const CLIENTS = 10;
const WORKERS = 3;
const frontend = new Router();
const backend = new Router();
await frontend.bind("inproc://clients");
await backend.bind("inproc://workers");

const free: Buffer[] = []; // Routing ids of workers, the one that has been free the longest first.
let workerIsFree = (): void => undefined;

async function readBackend(): Promise<void> {
  //   worker | "" | READY      or      worker | "" | client | "" | reply
  for await (const [worker, , client, , reply] of backend) {
    if (worker !== undefined) free.push(worker);
    workerIsFree();
    if (client !== undefined && reply !== undefined) await frontend.send([client, "", reply]);
  }
}

async function readFrontend(): Promise<void> {
  for (let left = CLIENTS; left > 0; left--) {
    if (free.length === 0) await new Promise<void>((resolve) => (workerIsFree = resolve));
    const [client, , request] = await frontend.receive(); //   client | "" | request
    const worker = free.shift();
    if (worker && client && request) await backend.send([worker, "", client, "", request]);
  }
}

/** Works until its socket closes. */
async function work(worker: Request): Promise<number> {
  worker.connect("inproc://workers");
  await worker.send("READY");
  let done = 0;
  //   client | "" | request; the worker's own address and empty frame have been taken off
  for await (const [client = "", empty = ""] of worker) {
    await worker.send([client, empty, "OK"]);
    done += 1;
  }
  return done;
}

async function ask(): Promise<string> {
  const client = new Request();
  client.connect("inproc://clients");
  await client.send("HELLO"); // Not by `request`, which would put an id of its own into the address.
  const [reply] = await client.receive();
  await client.close();
  return String(reply);
}

const reading = readBackend();
const workers = Array.from({ length: WORKERS }, () => new Request());
const working = workers.map(work);
const replies = Promise.all(Array.from({ length: CLIENTS }, ask));
await readFrontend();
console.log(`clients: ${(await replies).join(" ")}`);
for (const worker of workers) await worker.close();
const done = await Promise.all(working);
console.log(`workers: ${done.reduce((sum, each) => sum + each)} requests`);
await Promise.all([frontend.close(), backend.close()]);
await reading;
