/**
 * The programs of the chaos tests of patterns in a cluster: each announces itself by its node, and finds the others by resolvers.
 *
 *   node cluster-program.js NAME CLUSTER PROGRAM [ARGUMENT…]
 *
 *   member     prints "ready" when it serves. A line on its standard input has it drain, leave and end; the end of its input ends it at once
 *   load       asks until a line "end" comes, and prints its counts; a line with a number has it print "enough" when so much more is done
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Publisher, Subscriber } from "shoal";
import { ClusterNode } from "shoal/cluster";
import {
  CloneClient,
  CloneLmdbStore,
  CloneServer,
  FederatedBroker,
  FreelanceClient,
  FreelanceServer,
  LastValueCache,
  LoadBalancer,
  LoadBalancerClient,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  PirateWorker,
  PostgresStore,
  SequencedPublisher,
  SequencedSubscriber,
  Titanic,
  TitanicClient,
} from "shoal/patterns";
import { ForwarderProxy } from "shoal/proxy";

const ANY = "tcp://127.0.0.1:*";
const [name, cluster, program, ...given] = process.argv.slice(2);
const node = new ClusterNode({ name, cluster });
process.stdin.setEncoding("utf8").on("end", () => process.exit(1));

/** Members that have this tag, or endpoints of this name. */
const having = (what) => node.resolver({ has: [what] });

// --- Members ---------------------------------------------------------------------------------------------------------

let started;

/** For those that need the node before they serve. */
function begin() {
  started ??= node.start();
  return started;
}

/** @param {() => unknown} before it drains */
async function serve(before = () => undefined) {
  await begin();
  process.stdin.once("data", async () => {
    await before();
    await node.drain();
    await node.leave();
    process.exit(0);
  });
  console.log("ready");
}

async function double([body]) {
  await sleep(Math.random() * 5);
  return String(2 * Number(body));
}

// --- Loads -----------------------------------------------------------------------------------------------------------

const counts = { asked: 0, done: 0, wrong: 0, errors: {} };
/** Whether the next blow may come. */
let isCalm = () => true;

/** @param {(n: number, lane: number) => Promise<boolean>} ask resolves to whether the answer is right */
async function work(lanes, ask) {
  let isOver = false;
  let enough = Number.POSITIVE_INFINITY;
  process.stdin.on("data", (text) => {
    if (text.includes("end")) isOver = true;
    else enough = counts.done + Number(text.trim().split("\n").at(-1));
  });
  console.log("ready");
  const askAlways = async (lane) => {
    while (!isOver) {
      const n = counts.asked++;
      try {
        if (!(await ask(n, lane))) counts.wrong++;
        counts.done++;
      } catch (error) {
        const why = error.reason ?? error.code ?? String(error);
        counts.errors[why] = (counts.errors[why] ?? 0) + 1;
      }
      if (counts.done >= enough && isCalm()) {
        enough = Number.POSITIVE_INFINITY;
        console.log("enough");
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => askAlways(lane)));
}

function report(more = {}) {
  console.log(JSON.stringify({ ...counts, more }));
  process.exit(0);
}

/** Asks by a client that has `request(body)`. */
async function workBy(lanes, client) {
  await work(lanes, async (n) => {
    const [reply] = await client.request(String(n));
    return String(reply) === String(2 * n);
  });
  report();
}

// --- Majordomo -------------------------------------------------------------------------------------------------------

/** @param {string} heartbeatInterval ms; silence is found after three of them */
async function majordomoBroker(heartbeatInterval) {
  const broker = new MajordomoBroker({
    heartbeatInterval: Number(heartbeatInterval),
    queueTimeout: 8_000,
    maxDeliveries: 20,
  });
  node.announce({ jobs: await broker.bind(ANY) }, broker);
  await serve();
}

/** @param {string} count workers in the process @param {string} brokers their name */
async function majordomoWorker(heartbeatInterval, count, brokers = "jobs") {
  await begin();
  for (let i = 0; i < Number(count); i++) {
    const worker = new MajordomoWorker(having(brokers), "double", double, {
      concurrency: 8,
      heartbeatInterval: Number(heartbeatInterval),
      reconnectMaxInterval: 400,
    });
    node.announce({}, worker);
    await worker.ready();
  }
  await serve();
}

/** @param {string} count clients in the process; each has one request under way */
async function majordomoLoad(heartbeatInterval, count) {
  await node.start();
  const options = { heartbeatInterval: Number(heartbeatInterval), timeout: 20_000, retries: 9 };
  const clients = Array.from({ length: Number(count) }, () => new MajordomoClient(having("jobs"), options));
  await Promise.all(clients.map((client) => client.ready()));
  await work(clients.length, async (n, lane) => {
    const reply = await clients[lane].request("double", String(n));
    return String(reply) === String(2 * n);
  });
  report();
}

// --- A load balancer, federated brokers, Freelance -------------------------------------------------------------------

async function balancer() {
  const broker = new LoadBalancer({
    maxDeliveries: 20,
    backendOptions: { heartbeatInterval: 500, heartbeatTimeout: 2_000 },
  });
  const requests = await broker.bind("frontend", ANY);
  const workers = await broker.bind("backend", ANY);
  node.announce({ requests, workers }, broker);
  await serve();
}

async function balancedWorker() {
  await begin();
  const options = { concurrency: 4, reconnectInterval: 50, reconnectMaxInterval: 400 };
  node.announce({}, new PirateWorker(having("workers"), double, { dialect: "simple", ...options }));
  await serve();
}

/** @param {string} brokers their name */
async function balancedLoad(brokers) {
  await node.start();
  await workBy(16, new LoadBalancerClient(having(brokers), { retries: 20 }));
}

/** A site: a broker with two workers of its own, which helps the others. */
async function federatedSite() {
  const broker = new FederatedBroker(name, { stateInterval: 100, maxDeliveries: 20 });
  const at = {};
  for (const side of ["frontend", "backend", "cloud", "state"]) at[side] = await broker.bind(side, ANY);
  await begin();
  const others = (what) => node.resolver({ has: [what], not: ["self"] });
  broker.join({ cloud: others("cloud"), state: others("state") });
  const worker = new PirateWorker(at.backend, double, { dialect: "simple", concurrency: 2 });
  node.announce(
    { sites: at.frontend, cloud: at.cloud, state: at.state },
    {
      drain: (options) => broker.drain(options),
      close: async () => {
        await broker.close();
        await worker.close();
      },
    },
  );
  await serve();
}

async function freelanceServer() {
  const server = new FreelanceServer(double);
  node.announce({ answers: await server.bind(ANY) }, server);
  await serve();
}

async function freelanceLoad() {
  await node.start();
  const times = { timeout: 20_000, attemptTimeout: 500, pingInterval: 200, timeToLive: 800 };
  await workBy(16, new FreelanceClient(having("answers"), times));
}

// --- Titanic ---------------------------------------------------------------------------------------------------------

/** A front end: a broker, and Titanic on the shared store. @param {string} connectionString of the database */
async function titanicFront(connectionString) {
  const broker = new MajordomoBroker({ heartbeatInterval: 200, queueTimeout: 8_000 });
  const endpoint = await broker.bind(ANY);
  const store = await PostgresStore.open({ connectionString });
  const titanic = new Titanic(endpoint, store, {
    scanInterval: 100,
    checkInterval: 50,
    maxCheckInterval: 200,
    retryDelay: 50,
    timeout: 2_000,
    maxAttempts: 1_000,
  });
  node.announce(
    { fronts: endpoint },
    {
      drain: async (options) => {
        await titanic.drain(options);
        await broker.drain(options);
      },
      close: async () => {
        await titanic.close();
        await broker.close();
        await store.close();
      },
    },
  );
  await serve();
}

/** Each request is acknowledged by one front end, and its reply fetched from whichever is asked. */
async function titanicLoad() {
  await node.start();
  const options = { heartbeatInterval: 200, timeout: 5_000, retries: 20 };
  const client = new TitanicClient(new MajordomoClient(having("fronts"), options));
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
  report({ kept: kept.length, lost });
}

// --- Clone -----------------------------------------------------------------------------------------------------------

/** @param {string} [folder] for the maps, of all that shall have a store */
async function cloneServer(role, folder) {
  await begin();
  const other = role === "primary" ? "backup" : "primary";
  const peer = having(`map-${other}`);
  const store = folder === undefined ? {} : { store: CloneLmdbStore.open(`${folder}/${name}`) };
  const server = new CloneServer({ ...store, heartbeatInterval: 200, liveness: 3, pair: { role, peer } });
  const inStep = (change) => {
    if (!node.draining) node.tags(change);
  };
  let isJoined = false;
  // A replica may be in step while it drains, or is taken for lost: then it is not found, or only later.
  const markReplica = () => {
    if (!isJoined) return;
    const [replica] = node.resolve(`map-${other}`);
    if (replica === undefined) setTimeout(markReplica, 20);
    else inStep({ append: [`in-step-${replica.id}`] });
  };
  server.events.on("replica:joined", () => {
    isJoined = true;
    markReplica();
  });
  server.events.on("replica:left", () => {
    isJoined = false;
    inStep({ replace: node.tags().filter((tag) => !tag.startsWith("in-step-")) });
  });
  const endpoint = await server.bind(ANY);
  node.announce({ map: endpoint, [`map-${role}`]: endpoint }, server);
  await serve();
}

async function cloneLoad() {
  await node.start();
  const beats = { heartbeatInterval: 200, liveness: 3 };
  const map = new CloneClient(having("map"), { ...beats, timeout: 60_000 });
  await map.ready();
  // The one that serves has a backup that has everything, and that is there.
  isCalm = () => {
    const inStep = node.members().flatMap(({ tags }) => tags.filter((tag) => tag.startsWith("in-step-")));
    return inStep.some((tag) => node.member(tag.slice(8))?.endpoints.map !== undefined);
  };
  // Numbers never go back, at anybody's.
  const reader = new CloneClient(having("map"), beats);
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
    const key = `/${lane}/${n % 1_000}`;
    await map.set(key, String(n));
    acknowledged.set(key, String(n));
    return true;
  });
  const late = new CloneClient(having("map"), beats);
  await late.ready();
  let lost = 0;
  for (const [key, value] of acknowledged) if (String(late.get(key)) !== value) lost++;
  report({ keys: acknowledged.size, lost, back });
}

// --- Sequenced publishing --------------------------------------------------------------------------------------------

async function sequencedPublisher() {
  const publisher = new SequencedPublisher({ maxQueue: 1_000_000 });
  const [quotes, replays] = [await publisher.bind(ANY), await publisher.bindReplay(ANY)];
  node.announce({ quotes, replays }, publisher);
  let last = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < 3; i++) last = publisher.publish("price", String(last + 1));
  }, 5);
  // Its subscribers leave it when it is withdrawn. Until then, only a later message shows them that the last one was lost.
  await serve(async () => {
    clearInterval(timer);
    for (let i = 0; i < 20; i++) {
      publisher.publish("price", "end");
      await sleep(50);
    }
    console.log(`last ${publisher.id} ${last}`);
  });
}

/** What came of each publisher's messages, at once or by a replay, once each. */
async function sequencedLoad() {
  await node.start();
  const subscriber = new SequencedSubscriber({ timeout: 10_000 });
  const came = {};
  let twice = 0;
  const take = ({ publisher, sequence, body }) => {
    if (String(body[0]) === "end") return;
    came[publisher] ??= new Set();
    if (came[publisher].has(sequence)) twice++;
    came[publisher].add(sequence);
  };
  const replays = [];
  const replay = (range) => {
    const replayed = subscriber.replay(range).then(({ messages }) => messages.forEach(take));
    replays.push(replayed.catch(() => undefined));
  };
  subscriber.events.on("stream:joined-late", replay).on("gap:detected", replay);
  subscriber.subscribe("price");
  subscriber.connect(having("quotes"), having("replays"));
  await work(1, async () => {
    for (const message of await subscriber.receiveMany({ timeout: 500 }).catch(() => [])) take(message);
    return true;
  });
  await Promise.all(replays);
  report({ twice, came: Object.fromEntries(Object.entries(came).map(([id, all]) => [id, all.size])) });
}

// --- Last values -----------------------------------------------------------------------------------------------------

/** @param {string} folder for the caches' values */
async function valueCache(folder) {
  const cache = new LastValueCache({ store: `${folder}/${name}`, storeInterval: 20 });
  const [feeds, values] = [await cache.bind("frontend", ANY), await cache.bind("backend", ANY)];
  node.announce({ feeds, values }, cache);
  await serve();
}

/** The newest value of each topic, whichever cache it came by. */
async function followValues(onValue) {
  const subscriber = new Subscriber();
  subscriber.subscribe();
  subscriber.connect(having("values"));
  const newest = new Map();
  for await (const [topic, value] of subscriber) {
    const number = Number(value);
    const isNew = number > (newest.get(String(topic)) ?? -1);
    if (isNew) newest.set(String(topic), number);
    onValue(newest, number, isNew);
  }
}

/** Publishes values, and waits until each has come by one of the caches; then a newcomer has them all. */
async function valueLoad() {
  await node.start();
  const publisher = new Publisher();
  publisher.connect(having("feeds"));
  const waits = new Set();
  let known = new Map();
  /** The newest that has come by both caches. */
  let both = 0;
  void followValues((newest, n, isNew) => {
    known = newest;
    if (!isNew) both = Math.max(both, n);
    for (const wait of waits) wait();
  });
  isCalm = () => counts.asked - both < 50;
  await publisher.waitForSubscribers();
  const come = (n) =>
    new Promise((resolve, reject) => {
      const topic = `t${n % 40}`;
      const limit = setTimeout(reject, 20_000, new Error("no value within 20 s"));
      const wait = () => {
        if ((known.get(topic) ?? -1) < n) return;
        clearTimeout(limit);
        waits.delete(wait);
        resolve(true);
      };
      waits.add(wait);
      void publisher.send([topic, String(n)]);
    });
  await work(4, come);
  const last = new Map(known);
  const isWhole = new Promise((resolve) => {
    void followValues((newest) => {
      if ([...last].every(([topic, value]) => newest.get(topic) === value)) resolve(true);
    });
  });
  const isThere = await Promise.race([isWhole, sleep(10_000, false)]);
  report({ topics: last.size, isThere });
}

// --- Proxies at the edge ---------------------------------------------------------------------------------------------

/** A proxy between the crew's cluster and another one. @param {string} other its name */
async function edgeProxy(other) {
  const outside = new ClusterNode({ name, cluster: other });
  await Promise.all([begin(), outside.start()]);
  const proxy = new ForwarderProxy({ frontend: { connect: having("prices") }, backend: { bind: ANY } });
  await proxy.start();
  outside.announce({ prices: proxy.endpoints.backend[0] }, proxy);
  await serve(async () => {
    await outside.drain();
    await outside.leave();
  });
}

/** Publishes inside, and waits until each message has come outside, by one edge or another. @param {string} other the other cluster */
async function edgeLoad(other) {
  const outside = new ClusterNode({ name, cluster: other });
  await Promise.all([node.start(), outside.start()]);
  const publisher = new Publisher();
  node.advertise("prices", publisher);
  await publisher.bind(ANY);
  const subscriber = new Subscriber();
  subscriber.subscribe("routed");
  subscriber.connect(outside.resolver({ has: ["prices"] }));
  const waits = new Map();
  let others = 0;
  /** The newest that has come by both edges. */
  let both = 0;
  let newest = new Set();
  void (async () => {
    for await (const [topic, text] of subscriber) {
      const n = Number(text);
      if (String(topic) !== "routed") others++;
      if (newest.has(n)) both = Math.max(both, n);
      newest.add(n);
      if (newest.size > 10_000) newest = new Set();
      waits.get(n)?.();
    }
  })();
  isCalm = () => counts.asked - both < 50;
  await publisher.waitForSubscribers();
  const come = (n) =>
    new Promise((resolve, reject) => {
      const limit = setTimeout(reject, 20_000, new Error("no message within 20 s"));
      waits.set(n, () => {
        clearTimeout(limit);
        waits.delete(n);
        resolve(true);
      });
      void publisher.send(["routed", String(n)]);
      void publisher.send(["inside", String(n)]);
    });
  await work(8, come);
  report({ others });
}

const PROGRAMS = {
  majordomoBroker,
  majordomoWorker,
  majordomoLoad,
  balancer,
  balancedWorker,
  balancedLoad,
  federatedSite,
  freelanceServer,
  freelanceLoad,
  titanicFront,
  titanicLoad,
  cloneServer,
  cloneLoad,
  sequencedPublisher,
  sequencedLoad,
  valueCache,
  valueLoad,
  edgeProxy,
  edgeLoad,
};

await PROGRAMS[program](...given);
