/**
 * Opens and closes sockets of all types and in all ways, and prints what the
 * process holds after each batch, a JSON object a line. Started by churn.long.test.ts
 * with --expose-gc: node churn.js BATCHES SOCKETS_A_BATCH. A line on its
 * standard input ends it after the batch at hand.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Stream,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "shoal";

const [batches, perBatch] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "shoal-leak-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** The first binds, the second connects. */
const PAIRS = [
  [Pull, Push],
  [Subscriber, Publisher],
  [XPublisher, XSubscriber],
  [Reply, Request],
  [Router, Dealer],
  [Dealer, Router],
  [Pair, Pair],
  [Reply, Dealer],
  [Stream, Stream],
  [Publisher, Subscriber],
];

let number = 0;
let sockets = 0;

function endpoint(transport) {
  if (transport === "tcp") return "tcp://127.0.0.1:*";
  if (transport === "ipc") return `ipc://${join(folder, String(number))}`;
  return `inproc://leak-${number}`;
}

async function pair() {
  number += 1;
  const [Bound, Connected] = PAIRS[number % PAIRS.length];
  const transport = Bound === Stream ? "tcp" : ["tcp", "ipc", "inproc"][number % 3];
  const secured = number % 5 === 0 && transport !== "inproc" && Bound !== Stream;
  const server = new Bound({
    linger: 0,
    ...(secured ? { plainServer: true, authenticate: async (who) => who.username === "u" } : {}),
  });
  const client = new Connected({
    linger: 0,
    ...(secured ? { plainUsername: "u", plainPassword: "p" } : {}),
  });
  sockets += 2;
  if (number % 4 === 0) observe(server, client);
  await server.bind(endpoint(transport));
  client.connect(server.lastEndpoint);
  if (Bound === Subscriber) server.subscribe("t");
  if (Connected === Subscriber) client.subscribe("t");

  const waits = [];
  if (number % 6 === 0) {
    waits.push(...givenUp(server), ...givenUp(client));
    await new Promise((resolve) => setTimeout(resolve, 2));
  } else if ([Push, Request, Pair].includes(Connected) || (Bound === Reply && Connected === Dealer)) {
    await client.send(Connected === Dealer ? ["", "question"] : "question");
    await server.receive();
  } else if (transport !== "inproc") {
    await client.ready();
  }
  await Promise.all([server.close(), client.close(), ...waits]);
}

function observe(server, client) {
  server.events.on("handshake", () => undefined);
  client.events.once("disconnect", () => undefined);
  (async () => {
    for await (const _ of client.events);
  })();
}

/** Waits that end by an abort, a time-out, or the closing of their socket. */
function givenUp(socket) {
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  const waits = [socket.ready({ timeout: 50, signal: stop.signal })];
  if (socket.receive !== undefined) {
    waits.push(socket.receive({ signal: stop.signal }), socket.receive({ timeout: 1 }), socket.receive());
  }
  return waits.map((wait) =>
    wait.catch((error) => {
      if (!["EAGAIN", "ABORT_ERR", "ETIMEDOUT"].includes(error.code)) throw error;
    }),
  );
}

/** A client whose server is not there. */
async function lonely() {
  number += 1;
  const dealer = new Dealer({ linger: 0 });
  sockets += 1;
  dealer.connect(`ipc://${join(folder, "nobody")}`);
  await dealer.send("lost");
  const waits = number % 20 === 0 ? givenUp(dealer) : [];
  await Promise.all([dealer.close(), ...waits]);
}

function report() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  const descriptors = readdirSync("/proc/self/fd").length;
  const threads = readdirSync("/proc/self/task").length;
  console.log(JSON.stringify({ sockets, descriptors, threads, heap: heapUsed + external }));
}

let enough = false;
process.stdin.once("data", () => {
  enough = true;
  process.stdin.destroy();
});
for (let batch = 0; batch < batches && !enough; batch++) {
  while (sockets < (batch + 1) * perBatch) await (number % 10 === 9 ? lonely() : pair());
  // What is freed in the next turns of the loop has been freed now.
  await new Promise((resolve) => setImmediate(resolve));
  report();
}
process.stdin.destroy();
