// @ts-check
/**
 * Floor of Majordomo: bare sockets with the same envelope work, but no batches, heartbeats, retries or memory of
 * requests. The client has a promise and a table entry per request, the broker a table of its own numbers, and each
 * message a head that every hop makes again. Prints the processor time of each process per request.
 *
 *   node bench/micro/envelopes.js [REQUESTS [IN-FLIGHT [WORKERS]]]     default 300,000 1,000 2
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** @type {typeof import("../../src/index.js")} */
const { Dealer, Router } = await import(new URL("../../dist/index.js", import.meta.url).href);

const [HELLO, REQUEST, REPLY] = [1, 2, 3];
const NUMBER = 7;
const MARKS = { sendHighWaterMark: 100_000, receiveHighWaterMark: 100_000 };

/** @param {number} kind @param {number} number */
function headOf(kind, number) {
  const head = Buffer.allocUnsafe(NUMBER + 4);
  head[0] = kind;
  head.writeUInt32BE(number, NUMBER);
  return head;
}

async function broker() {
  const router = new Router({ ...MARKS, mandatory: true });
  await router.bind("tcp://127.0.0.1:*");
  process.send?.(router.lastEndpoint);
  /** @type {Buffer[]} */
  const workers = [];
  /** @type {Map<number, { client: Buffer, number: number, body: Buffer }>} */
  const delivered = new Map();
  for (let tag = 0; ; ) {
    for (const [from, head, body] of /** @type {Buffer[][]} */ (await router.receiveMany({ max: 512 }))) {
      if (from === undefined || head === undefined || body === undefined) continue;
      const number = head.readUInt32BE(NUMBER);
      if (head[0] === HELLO) workers.push(from);
      else if (head[0] === REQUEST) {
        tag = (tag + 1) % 2 ** 30;
        delivered.set(tag, { client: from, number, body });
        const worker = /** @type {Buffer} */ (workers[tag % workers.length]);
        router.trySend([worker, headOf(REQUEST, tag), body]);
      } else {
        const request = delivered.get(number);
        delivered.delete(number);
        if (request !== undefined) router.trySend([request.client, headOf(REPLY, request.number), body]);
      }
    }
  }
}

/** @param {string} endpoint */
async function worker(endpoint) {
  const dealer = new Dealer(MARKS);
  dealer.connect(endpoint);
  await dealer.send([headOf(HELLO, 0), ""]);
  process.send?.("ready");
  for (;;) {
    for (const [head, body = ""] of await dealer.receiveMany({ max: 512 }))
      dealer.trySend([headOf(REPLY, /** @type {Buffer} */ (head).readUInt32BE(NUMBER)), body]);
  }
}

/** @param {string} endpoint @param {number} count @param {number} window */
async function client(endpoint, count, window) {
  const dealer = new Dealer(MARKS);
  dealer.connect(endpoint);
  /** @type {Map<number, { resolve: (body: Buffer) => void, deadline: number }>} */
  const calls = new Map();
  let sent = 0;
  let answered = 0;
  const ask = () => {
    if (sent === 2 * count) return;
    sent += 1;
    /** @type {Promise<Buffer>} */
    const reply = new Promise((resolve) => calls.set(sent, { resolve, deadline: 0 }));
    dealer.trySend([headOf(REQUEST, sent), Buffer.alloc(64)]);
    void reply.then(onReply);
  };
  const onReply = () => {
    answered += 1;
    // The first half warms up.
    if (answered % count === 0) process.send?.(answered === count ? "begun" : "ended");
    ask();
  };
  for (let i = 0; i < window; i++) ask();
  for (;;) {
    for (const [head, body] of /** @type {Buffer[][]} */ (await dealer.receiveMany({ max: 512 }))) {
      const number = head?.readUInt32BE(NUMBER) ?? 0;
      calls.get(number)?.resolve(/** @type {Buffer} */ (body));
      calls.delete(number);
    }
  }
}

/** @param {(string | number)[]} args */
async function start(...args) {
  const child = fork(fileURLToPath(import.meta.url), args.map(String));
  const [said] = await once(child, "message");
  return { child, said };
}

async function main(count = 300_000, window = 1_000, workers = 2) {
  const { child: brokers, said: endpoint } = await start("broker");
  const all = [{ name: "broker", child: brokers }];
  for (let i = 0; i < workers; i++)
    all.push({ name: `worker ${i + 1}`, child: (await start("worker", endpoint)).child });
  const { child } = await start("client", endpoint, count, window);
  all.unshift({ name: "client", child });
  for (const each of all) each.child.send("begin");
  await once(child, "message");
  let sum = 0;
  for (const each of all) {
    each.child.send("end");
    const [microseconds] = await once(each.child, "message");
    sum += microseconds / count;
    console.log(`${each.name}: ${(microseconds / count).toFixed(2)} µs of processor time a request`);
    each.child.kill();
  }
  console.log(`together: ${sum.toFixed(2)} µs`);
}

const [role, ...args] = process.argv.slice(2);
let used = process.cpuUsage();
process.on("message", (said) => {
  const { user, system } = process.cpuUsage(used);
  if (said === "begin") used = process.cpuUsage();
  else process.send?.(user + system);
});
if (role === "broker") await broker();
else if (role === "worker") await worker(/** @type {string} */ (args[0]));
else if (role === "client") await client(/** @type {string} */ (args[0]), Number(args[1]), Number(args[2]));
else await main(...process.argv.slice(2).map(Number));
