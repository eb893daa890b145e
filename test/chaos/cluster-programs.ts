/**
 * The programs of the chaos tests of patterns in a cluster: each announces itself by its node, and finds the others by resolvers. Names that they are
 * found by differ, so that a process can be a member of several patterns.
 */
import { load, member } from "../support/cluster-crew.js";

const PATTERNS = (...names: string[]): string => `import { ${names.join(", ")} } from "shoal/patterns";`;
const ANY = '"tcp://127.0.0.1:*"';
const DOUBLE = `async ([body]) => {
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
  return String(2 * Number(body));
}`;
/** Asks a client that has \`request(body)\`. */
const CHECKED = `(n) => request(String(n)).then(([reply]) => String(reply) === String(2 * n))`;

/** @param heartbeatInterval ms; silence is found after three of them */
function majordomo(heartbeatInterval: number) {
  return {
    broker: member(
      PATTERNS("MajordomoBroker"),
      `const broker = new MajordomoBroker({ heartbeatInterval: ${heartbeatInterval}, queueTimeout: 8_000, maxDeliveries: 20 });
node.announce({ jobs: await broker.bind(${ANY}) }, broker);
await serve();`,
    ),
    /** @argument workers in the process */
    worker: member(
      PATTERNS("MajordomoWorker"),
      `await begin();
for (let i = 0; i < Number(args[0]); i++) {
  const worker = new MajordomoWorker(node.resolver({ has: ["jobs"] }), "double", ${DOUBLE}, {
    concurrency: 8, heartbeatInterval: ${heartbeatInterval}, reconnectMaxInterval: 400,
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
  new MajordomoClient(node.resolver({ has: ["jobs"] }), { heartbeatInterval: ${heartbeatInterval}, timeout: 20_000, retries: 9 }));
await Promise.all(clients.map((client) => client.ready()));
await work(clients.length, async (n, lane) => String(await clients[lane].request("double", String(n))) === String(2 * n));
await report();`,
    ),
  };
}

export const MAJORDOMO = majordomo(200);
/**
 * For many clients and workers at each of many brokers: beats every 200 ms over two thousand connections would be 20,000 messages a
 * second, which take both processors of a small machine, so that silence is found where there is none.
 */
export const LARGE_MAJORDOMO = majordomo(2_000);

export const LOAD_BALANCER = {
  broker: member(
    PATTERNS("LoadBalancer"),
    `const broker = new LoadBalancer({ maxDeliveries: 20, backendOptions: { heartbeatInterval: 500, heartbeatTimeout: 2_000 } });
const [requests, workers] = [await broker.bind("frontend", ${ANY}), await broker.bind("backend", ${ANY})];
node.announce({ requests, workers }, broker);
await serve();`,
  ),
  worker: member(
    PATTERNS("PirateWorker"),
    `await begin();
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
await begin();
const others = (what) => node.resolver({ has: [what], not: ["self"] });
broker.join({ cloud: others("cloud"), state: others("state") });
const worker = new PirateWorker(at.backend, ${DOUBLE}, { dialect: "simple", concurrency: 2 });
node.announce({ sites: at.frontend, cloud: at.cloud, state: at.state }, {
  drain: (options) => broker.drain(options),
  close: async () => { await broker.close(); await worker.close(); },
});
await serve();`,
  ),
  load: LOAD_BALANCER.load.replaceAll('"requests"', '"sites"'),
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
  worker: { ...MAJORDOMO.worker, body: MAJORDOMO.worker.body.replaceAll('"jobs"', '"fronts"') },
  /** Each request is acknowledged by one front end, and its reply fetched from whichever is asked. */
  load: load(
    PATTERNS("MajordomoClient", "TitanicClient"),
    `await node.start();
const fronts = node.resolver({ has: ["fronts"] });
const client = new TitanicClient(new MajordomoClient(fronts, { heartbeatInterval: 200, timeout: 5_000, retries: 20 }));
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

export const CLONE = {
  /**
   * @argument its role
   * @argument a folder for the maps, of all that shall have a store
   */
  server: member(
    PATTERNS("CloneLmdbStore", "CloneServer"),
    `await begin();
const [role, folder] = args;
const other = role === "primary" ? "backup" : "primary";
const peer = node.resolver({ has: ["map-" + other] });
const store = folder === undefined ? {} : { store: CloneLmdbStore.open(folder + "/" + name) };
const server = new CloneServer({ ...store, heartbeatInterval: 200, liveness: 3, pair: { role, peer } });
const inStep = (change) => { if (!node.draining) node.tags(change); };
let isJoined = false;
// A replica may be in step while it drains, or is taken for lost: then it is not found, or only later.
const markReplica = () => {
  if (!isJoined) return;
  const replica = node.resolve("map-" + other)[0];
  if (replica === undefined) setTimeout(markReplica, 20);
  else inStep({ append: ["in-step-" + replica.id] });
};
server.events.on("replica:joined", () => {
  isJoined = true;
  markReplica();
});
server.events.on("replica:left", () => {
  isJoined = false;
  inStep({ replace: node.tags().filter((tag) => !tag.startsWith("in-step-")) });
});
const endpoint = await server.bind(${ANY});
node.announce({ map: endpoint, ["map-" + role]: endpoint }, server);
await serve();`,
  ),
  load: load(
    PATTERNS("CloneClient"),
    `await node.start();
const map = new CloneClient(node.resolver({ has: ["map"] }), { heartbeatInterval: 200, liveness: 3, timeout: 60_000 });
await map.ready();
// The one that serves has a backup that has everything, and that is there.
isCalm = () => {
  const inStep = node.members().flatMap(({ tags }) => tags.filter((tag) => tag.startsWith("in-step-")));
  return inStep.some((tag) => node.member(tag.slice(8))?.endpoints.map !== undefined);
};
// Numbers never go back, at anybody's.
const reader = new CloneClient(node.resolver({ has: ["map"] }), { heartbeatInterval: 200, liveness: 3 });
const numbers = new Map();
let back = 0;
void (async () => {
  for await (const { key, value } of reader.watch("", { maxQueue: 1_000_000 })) {
    if (Number(value) < (numbers.get(key) ?? 0)) back++;
    numbers.set(key, Number(value));
  }
})();
const acknowledged = new Map();
await work(4, async (n, lane) => {
  await map.set("/" + lane + "/" + (n % 1_000), String(n));
  acknowledged.set("/" + lane + "/" + (n % 1_000), String(n));
  return true;
});
const late = new CloneClient(node.resolver({ has: ["map"] }), { heartbeatInterval: 200, liveness: 3 });
await late.ready();
let lost = 0;
for (const [key, value] of acknowledged) if (String(late.get(key)) !== value) lost++;
await report({ keys: acknowledged.size, lost, back });`,
  ),
};

export const SEQUENCED = {
  publisher: member(
    PATTERNS("SequencedPublisher"),
    `const publisher = new SequencedPublisher({ maxQueue: 1_000_000 });
node.announce({ quotes: await publisher.bind(${ANY}), replays: await publisher.bindReplay(${ANY}) }, publisher);
let last = 0;
const timer = setInterval(() => { for (let i = 0; i < 3; i++) last = publisher.publish("price", String(last + 1)); }, 5);
// Its subscribers leave it when it is withdrawn. Until then, only a later message shows them that the last one was lost.
await serve(async () => {
  clearInterval(timer);
  for (let i = 0; i < 20; i++) {
    publisher.publish("price", "end");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log("last " + publisher.id + " " + last);
});`,
  ),
  /** What came of each publisher's messages, at once or by a replay, once each. */
  load: load(
    PATTERNS("SequencedSubscriber"),
    `await node.start();
const subscriber = new SequencedSubscriber({ timeout: 10_000 });
const came = {};
let twice = 0;
const take = ({ publisher, sequence, body }) => {
  if (String(body[0]) === "end") return;
  const all = came[publisher] ??= new Set();
  if (all.has(sequence)) twice++;
  all.add(sequence);
};
const replays = [];
const replay = (range) => replays.push(subscriber.replay(range).then(({ messages }) => messages.forEach(take)).catch(() => undefined));
subscriber.events.on("stream:joined-late", replay).on("gap:detected", replay);
subscriber.subscribe("price");
subscriber.connect(node.resolver({ has: ["quotes"] }), node.resolver({ has: ["replays"] }));
await work(1, async () => {
  for (const message of await subscriber.receiveMany({ timeout: 500 }).catch(() => [])) take(message);
  return true;
});
await Promise.all(replays);
await report({ twice, came: Object.fromEntries(Object.entries(came).map(([id, all]) => [id, all.size])) });`,
  ),
};

export const LAST_VALUE = {
  /** @argument a folder for the caches' values */
  cache: member(
    PATTERNS("LastValueCache"),
    `const cache = new LastValueCache({ store: args[0] + "/" + name, storeInterval: 20 });
const [feeds, values] = [await cache.bind("frontend", ${ANY}), await cache.bind("backend", ${ANY})];
node.announce({ feeds, values }, cache);
await serve();`,
  ),
  /** Publishes values, and waits until each has come by one of the caches; then a newcomer has them all. */
  load: load(
    'import { Publisher, Subscriber } from "shoal";',
    `await node.start();
const publisher = new Publisher();
publisher.connect(node.resolver({ has: ["feeds"] }));
/** The newest value of each topic, whichever cache it came by. */
async function follow(onValue) {
  const subscriber = new Subscriber();
  subscriber.subscribe();
  subscriber.connect(node.resolver({ has: ["values"] }));
  const newest = new Map();
  for await (const [topic, value] of subscriber) {
    const number = Number(value);
    const isNew = number > (newest.get(String(topic)) ?? -1);
    if (isNew) newest.set(String(topic), number);
    onValue(newest, number, isNew);
  }
}
const waits = new Set();
let known = new Map();
/** The newest that has come by both caches. */
let both = 0;
void follow((newest, n, isNew) => {
  known = newest;
  if (!isNew) both = Math.max(both, n);
  for (const wait of waits) wait();
});
isCalm = () => counts.asked - both < 50;
await publisher.waitForSubscribers();
await work(4, (n) => new Promise((resolve, reject) => {
  const topic = "t" + (n % 40);
  const limit = setTimeout(reject, 20_000, new Error("no value within 20 s"));
  const wait = () => {
    if (!((known.get(topic) ?? -1) >= n)) return;
    clearTimeout(limit);
    waits.delete(wait);
    resolve(true);
  };
  waits.add(wait);
  void publisher.send([topic, String(n)]);
}));
const last = new Map(known);
const isWhole = new Promise((resolve) => void follow((newest) => {
  if ([...last].every(([topic, value]) => newest.get(topic) === value)) resolve(true);
}));
const isThere = await Promise.race([isWhole, new Promise((resolve) => setTimeout(resolve, 10_000, false))]);
await report({ topics: last.size, isThere });`,
  ),
};

export const EDGE = {
  /** A proxy between the crew's cluster and another one. @argument the other cluster */
  edge: member(
    'import { ForwarderProxy } from "shoal/proxy";',
    `const outside = new ClusterNode({ name, cluster: args[0] });
await Promise.all([begin(), outside.start()]);
const proxy = new ForwarderProxy({ frontend: { connect: node.resolver({ has: ["prices"] }) }, backend: { bind: ${ANY} } });
await proxy.start();
outside.announce({ prices: proxy.endpoints.backend[0] }, proxy);
await serve(async () => {
  await outside.drain();
  await outside.leave();
});`,
  ),
  /** Publishes inside, and waits until each message has come outside, by one edge or another. @argument the other cluster */
  load: load(
    'import { Publisher, Subscriber } from "shoal";',
    `const outside = new ClusterNode({ name, cluster: args[0] });
await Promise.all([node.start(), outside.start()]);
const publisher = new Publisher();
node.advertise("prices", publisher);
await publisher.bind(${ANY});
const subscriber = new Subscriber();
subscriber.subscribe("routed");
subscriber.connect(outside.resolver({ has: ["prices"] }));
const waits = new Map();
let others = 0;
/** The newest that has come by both edges. */
let both = 0;
let newest = new Set();
void (async () => {
  for await (const [topic, n] of subscriber) {
    if (String(topic) !== "routed") others++;
    if (newest.has(Number(n))) both = Math.max(both, Number(n));
    newest.add(Number(n));
    if (newest.size > 10_000) newest = new Set();
    waits.get(Number(n))?.();
  }
})();
isCalm = () => counts.asked - both < 50;
await publisher.waitForSubscribers();
await work(8, (n) => new Promise((resolve, reject) => {
  const limit = setTimeout(reject, 20_000, new Error("no message within 20 s"));
  waits.set(n, () => {
    clearTimeout(limit);
    waits.delete(n);
    resolve(true);
  });
  void publisher.send(["routed", String(n)]);
  void publisher.send(["inside", String(n)]);
}));
await report({ others });`,
  ),
};
