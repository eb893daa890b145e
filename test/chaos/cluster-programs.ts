/** The programs of the chaos tests of patterns in a cluster: each announces itself by its node, and finds the others by resolvers. */
import { load, member } from "../support/cluster-crew.js";

const PATTERNS = (...names: string[]): string => `import { ${names.join(", ")} } from "shoal/patterns";`;
const ANY = '"tcp://127.0.0.1:*"';
const DOUBLE = `async ([body]) => {
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
  return String(2 * Number(body));
}`;
/** Asks a client that has \`request(body)\`. */
const CHECKED = `(n) => request(String(n)).then(([reply]) => String(reply) === String(2 * n))`;

export const MAJORDOMO = {
  broker: member(
    PATTERNS("MajordomoBroker"),
    `const broker = new MajordomoBroker({ heartbeatInterval: 200, queueTimeout: 8_000, maxDeliveries: 20 });
node.announce({ jobs: await broker.bind(${ANY}) }, broker);
await serve();`,
  ),
  /** @argument workers in the process */
  worker: member(
    PATTERNS("MajordomoWorker"),
    `await node.start();
for (let i = 0; i < Number(args[0]); i++) {
  const worker = new MajordomoWorker(node.resolver({ has: ["jobs"] }), "double", ${DOUBLE}, {
    concurrency: 8, heartbeatInterval: 200, reconnectMaxInterval: 400,
  });
  node.announce({}, worker);
  await worker.ready();
}
await serve();`,
  ),
  /** @argument clients in the process; each has one request under way */
  load: load(
    PATTERNS("MajordomoClient"),
    `await node.start();
const clients = Array.from({ length: Number(args[0]) }, () =>
  new MajordomoClient(node.resolver({ has: ["jobs"] }), { heartbeatInterval: 200, timeout: 20_000, retries: 9 }));
await Promise.all(clients.map((client) => client.ready()));
await work(clients.length, async (n, lane) => String(await clients[lane].request("double", String(n))) === String(2 * n));
const brokers = new Set(clients.map((client) => client.stats().broker));
await report({ brokers: brokers.size });`,
  ),
};

export const LOAD_BALANCER = {
  broker: member(
    PATTERNS("LoadBalancer"),
    `const broker = new LoadBalancer({ maxDeliveries: 20, workerStallTimeout: 2_000 });
const [requests, workers] = [await broker.bind("frontend", ${ANY}), await broker.bind("backend", ${ANY})];
node.announce({ requests, workers }, broker);
await serve();`,
  ),
  worker: member(
    PATTERNS("PirateWorker"),
    `await node.start();
node.announce({}, new PirateWorker(node.resolver({ has: ["workers"] }), ${DOUBLE}, {
  dialect: "simple", concurrency: 4, reconnectInterval: 50, reconnectMaxInterval: 400,
}));
await serve();`,
  ),
  load: load(
    PATTERNS("LoadBalancerClient"),
    `await node.start();
const client = new LoadBalancerClient(node.resolver({ has: ["requests"] }), { retries: 20 });
const request = (body) => client.request(body);
await work(16, ${CHECKED});
await report();`,
  ),
};

export const FEDERATION = {
  /** A site: a broker with two workers of its own, which helps the others. */
  site: member(
    PATTERNS("FederatedBroker", "PirateWorker"),
    `const broker = new FederatedBroker(name, { stateInterval: 100, maxDeliveries: 20 });
const at = {};
for (const side of ["frontend", "backend", "cloud", "state"]) at[side] = await broker.bind(side, ${ANY});
await node.start();
const others = (what) => node.resolver({ has: [what], not: ["self"] });
broker.join({ cloud: others("cloud"), state: others("state") });
const worker = new PirateWorker(at.backend, ${DOUBLE}, { dialect: "simple", concurrency: 2 });
node.announce({ requests: at.frontend, cloud: at.cloud, state: at.state }, {
  drain: (options) => broker.drain(options),
  close: async () => { await broker.close(); await worker.close(); },
});
await serve();`,
  ),
  load: LOAD_BALANCER.load,
};

export const FREELANCE = {
  server: member(
    PATTERNS("FreelanceServer"),
    `const server = new FreelanceServer(${DOUBLE});
node.announce({ answers: await server.bind(${ANY}) }, server);
await serve();`,
  ),
  load: load(
    PATTERNS("FreelanceClient"),
    `await node.start();
const client = new FreelanceClient(node.resolver({ has: ["answers"] }), {
  timeout: 20_000, attemptTimeout: 500, pingInterval: 200, timeToLive: 800,
});
const request = (body) => client.request(body);
await work(16, ${CHECKED});
await report();`,
  ),
};

export const TITANIC = {
  /** A front end: a broker, and Titanic on the shared store. @argument the database */
  front: member(
    PATTERNS("MajordomoBroker", "PostgresStore", "Titanic"),
    `const broker = new MajordomoBroker({ heartbeatInterval: 200, queueTimeout: 8_000 });
const endpoint = await broker.bind(${ANY});
const store = await PostgresStore.open({ connectionString: args[0] });
const titanic = new Titanic(endpoint, store, {
  scanInterval: 100, checkInterval: 50, maxCheckInterval: 200, retryDelay: 50, timeout: 2_000, maxAttempts: 1_000,
});
node.announce({ fronts: endpoint }, {
  drain: async (options) => { await titanic.drain(options); await broker.drain(options); },
  close: async () => { await titanic.close(); await broker.close(); await store.close(); },
});
await serve();`,
  ),
  worker: MAJORDOMO.worker.replaceAll('"jobs"', '"fronts"'),
  /** Each request is acknowledged by one front end, and its reply fetched from whichever is asked. */
  load: load(
    PATTERNS("TitanicClient"),
    `await node.start();
const client = new TitanicClient(node.resolver({ has: ["fronts"] }), { heartbeatInterval: 200, timeout: 5_000, retries: 20 });
const kept = [];
await work(8, async (n) => {
  const uuid = await client.request("double", String(n));
  kept.push([uuid, n]); // Acknowledged: from now on it must not be lost.
  return true;
});
let lost = 0;
for (const [uuid, n] of kept) {
  const { status, body } = await client.wait(uuid, { timeout: 60_000 });
  if (status !== "200" || String(body[0]) !== String(2 * n)) lost++;
}
await report({ kept: kept.length, lost });`,
  ),
};
