/**
 * Opens and closes connections of the zmtp engine in many ways, and prints what the
 * process holds after each batch, a JSON object a line. Started by
 * zmtp-connections.long.test.ts with --expose-gc:
 *
 *   node zmtp-connections.js BATCHES CONNECTIONS_A_BATCH
 *
 * A line on its standard input ends it after the batch at hand.
 */
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { Context, curveKeyPair, Dealer, Publisher, Pull, Push, Router, Subscriber } from "shoal";

const [batches, perBatch] = process.argv.slice(2).map(Number);
const context = new Context({ engine: "zmtp" });
const keys = curveKeyPair();
const common = { context, linger: 0, reconnectInterval: 1, backlog: 512 };
const GREETING = Buffer.concat([Buffer.from("ff00000000000000017f03014e554c4c", "hex"), Buffer.alloc(48)]);
/** At a time; the others wait. */
const PARALLEL = 20;

/** The servers live as long as the process: what their peers leave behind would stay. */
const pull = new Pull({ ...common });
const router = new Router({ ...common });
const publisher = new Publisher({ ...common });
const secure = new Pull({ ...common, curveServer: true, curveSecretKey: keys.secretKey });
let connections = 0;
for (const server of [pull, router, publisher, secure]) {
  server.events.on("accept", () => {
    connections += 1;
  });
  await server.bind("tcp://127.0.0.1:*");
}
for (const server of [pull, secure]) {
  (async () => {
    for await (const _ of server);
  })().catch(report);
}
(async () => {
  for await (const message of router) await router.send(message);
})().catch(report);

function report(error) {
  console.error(error);
  process.exitCode = 1;
}

/** A whole life of a good peer. */
const good = [
  async () => {
    const push = new Push({ ...common, linger: -1 });
    push.connect(pull.lastEndpoint);
    await push.send("message");
    await push.close();
  },
  async () => {
    const dealer = new Dealer({ ...common });
    dealer.connect(router.lastEndpoint);
    await dealer.send("question");
    await dealer.receive({ timeout: 10_000 });
    await dealer.close();
  },
  async () => {
    const subscriber = new Subscriber({ ...common });
    subscriber.subscribe("topic");
    subscriber.connect(publisher.lastEndpoint);
    await subscriber.ready({ timeout: 10_000 });
    await subscriber.close();
  },
  async () => {
    const push = new Push({
      ...common,
      linger: -1,
      curveServerKey: keys.publicKey,
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
    });
    push.connect(secure.lastEndpoint);
    await push.send("message");
    await push.close();
  },
];

/** Connections that end before they are any. */
function bad(endpoint, bytes, resets) {
  return new Promise((resolve) => {
    const socket = connect(Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)), "127.0.0.1", () => {
      socket.write(bytes, () => (resets ? socket.resetAndDestroy() : socket.end()));
    });
    socket.resume();
    socket.on("error", () => undefined);
    socket.on("close", resolve);
  });
}

async function one(number) {
  const endpoint = [pull, router, publisher, secure][number % 4].lastEndpoint;
  switch (number % 8) {
    case 0:
      return bad(endpoint, GREETING, true);
    case 1:
      return bad(endpoint, GREETING.subarray(0, 20), false);
    case 2:
      return bad(endpoint, Buffer.alloc(100, number), number % 3 === 0);
    case 3:
      return bad(endpoint, Buffer.concat([GREETING, Buffer.from("000161", "hex")]), false);
    default:
      return good[number % 4]();
  }
}

async function sample() {
  // Every connection has ended, on both sides, when the servers have no peers and no descriptors of any.
  const end = performance.now() + 10_000;
  const idle = () => [pull, router, publisher, secure].every((server) => server.stats().peers === 0);
  while (!idle() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  while (handles() > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  globalThis.gc();
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  const descriptors = readdirSync("/proc/self/fd").length;
  console.log(JSON.stringify({ connections, descriptors, handles: handles(), heap: heapUsed + external }));
}

/** Sockets that stand; the servers' own listeners, and timers, are no sockets. */
function handles() {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name === "TCPSocketWrap" || name === "TCPConnectWrap").length;
}

let number = 0;
let enough = false;
process.stdin.once("data", () => {
  enough = true;
  process.stdin.destroy();
});
for (let batch = 0; batch < batches && !enough; batch++) {
  const until = (batch + 1) * perBatch;
  const lane = async () => {
    while (connections < until) {
      number += 1;
      await one(number);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
  await sample();
}
await Promise.all([pull, router, publisher, secure].map((server) => server.close()));
process.stdin.destroy();
