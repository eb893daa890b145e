/**
 * What Black Boxes do with real sockets and threads; worker threads need the built package, in a process of its own. Says "good" when it
 * found what it looked for.
 *
 *   node black-box-program.js ENGINE STORY [ARGUMENT]      the engine of the publisher and the Black Box; a function below
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { setEnvironmentData } from "node:worker_threads";
import { Context, Publisher } from "shoal";
import { BlackBox } from "shoal/patterns";

const [engine, story, ...given] = process.argv.slice(2);
const ANY = "tcp://127.0.0.1:*";
/** What the text of each module begins with. */
const DATA =
  'import { getEnvironmentData } from "node:worker_threads"; const data = getEnvironmentData("data");\n';

/** Memory that handlers have as `data`. */
function shared(length) {
  const data = new Int32Array(new SharedArrayBuffer(4 * length));
  setEnvironmentData("data", data);
  return data;
}

/** A module of which this is the text. */
function module(text) {
  return new URL(`data:text/javascript,${encodeURIComponent(DATA + text)}`);
}

async function openPublisher(options) {
  const publisher = new Publisher({
    sendHighWaterMark: 100_000,
    context: new Context({ engine }),
    ...options,
  });
  await publisher.bind(ANY);
  return publisher;
}

async function open({ socketOptions, ...others }, given) {
  const publisher = given ?? (await openPublisher());
  const box = new BlackBox({
    workers: 1,
    full: "wait",
    connect: publisher.lastEndpoint,
    socketOptions: { context: new Context({ engine }), ...socketOptions },
    ...others,
  });
  await box.start();
  await publisher.waitForSubscribers();
  return { publisher, box };
}

/** There is no event for an account: looked at again and again, for a bounded time. */
async function until(box, holds) {
  for (let tries = 0; tries < 1_000; tries++) {
    const stats = box.stats();
    if (holds(stats)) return stats;
    await sleep(10);
  }
  throw new Error(`It did not come: ${JSON.stringify(box.stats())}`);
}

const event = (box, type) => new Promise((resolve) => box.events.on(type, resolve));
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

function accounts({ received, handled, failed, queued, inFlight, lost, dropped }) {
  assert.equal(received, handled + failed + queued + inFlight + lost + sum(dropped));
}

/** A handler that stops its thread at its first message, until data[0] is 1; counts in data[1], keeps the body's number in data[2 …]. */
const BLOCKING = `
  export default ([, body]) => {
    Atomics.add(data, 1, 1);
    Atomics.notify(data, 1);
    Atomics.wait(data, 0, 0);
    data[2 + Atomics.add(data, 2, 1) + 1] = Number(body);
  };`;

async function keepsOrder() {
  // data: calls, calls out of order, then calls of each shard for each of 10 topics
  const data = shared(2 + 30);
  const handler = module(`
    const last = new Map();
    export default async ([topic, body], { shard }) => {
      const number = Number(body);
      if ((last.get(String(topic)) ?? 0) !== number - 1) Atomics.add(data, 1, 1);
      if (number % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      last.set(String(topic), number);
      Atomics.add(data, 2 + 3 * Number(String(topic).slice(1)) + shard, 1);
      Atomics.add(data, 0, 1);
    }`);
  const { publisher, box } = await open({ handler, workers: 3, subscribe: "t", maxQueue: 50 });
  for (let number = 1; number <= 300; number++) {
    for (let topic = 0; topic < 10; topic++) await publisher.send([`t${topic}`, String(number)]);
    await publisher.send(["other", "x"]);
  }
  const stats = await until(box, ({ handled }) => handled === 3_000);
  assert.deepEqual([data[0], data[1]], [3_000, 0]);
  for (let topic = 0; topic < 10; topic++) {
    const shards = [...data.subarray(2 + 3 * topic, 5 + 3 * topic)].filter((count) => count > 0);
    assert.deepEqual(shards, [300]);
  }
  assert.equal(stats.shards.length, 3);
  accounts(stats);
  await Promise.all([box.close(), publisher.close()]);
  assert.equal(box.stats().handled, 3_000);
  await assert.rejects(box.start(), { code: "EBADF" });
}

async function holdsPublisherBack() {
  const data = shared(20_000);
  const publisher = await openPublisher({ noDrop: true, sendHighWaterMark: 10 });
  const socketOptions = { receiveHighWaterMark: 10 };
  const { box } = await open({ handler: module(BLOCKING), maxQueue: 10, socketOptions }, publisher);
  const body = (number) => String(number).padStart(20_000);
  let sent = 0;
  for (let idle = 0; idle < 30; await sleep(10)) {
    if (publisher.trySend(["t", body(sent + 1)])) {
      sent += 1;
      idle = 0;
    } else idle += 1;
    assert.ok(sent < 15_000, "nobody held the publisher back");
  }
  const waiting = box.stats();
  assert.ok(waiting.queued > 10);
  accounts(waiting);
  Atomics.store(data, 0, 1);
  Atomics.notify(data, 0);
  for (let more = 0; more < 50; more++) {
    await publisher.send(["t", body(sent + 1)]);
    sent += 1;
  }
  const stats = await until(box, ({ handled }) => handled === sent);
  assert.deepEqual(
    [...data.subarray(3, 3 + sent)],
    Array.from({ length: sent }, (_, i) => i + 1),
  );
  assert.equal(sum(stats.dropped), 0);
  await Promise.all([box.close(), publisher.close()]);
}

async function isRefused() {
  const publisher = await openPublisher();
  const fine = module("export default () => undefined");
  const fails = async (options, expected) => {
    const box = new BlackBox({ workers: 1, handler: fine, connect: publisher.lastEndpoint, ...options });
    await assert.rejects(box.start(), expected);
    assert.equal(box.closed, true);
    await box.close();
  };
  await fails({ handler: "/nowhere/at-all.js" }, (error) => {
    assert.equal(error.code, "EINVAL");
    assert.match(error.message, /nowhere/);
    assert.equal(error.cause.code, "ERR_MODULE_NOT_FOUND");
    return true;
  });
  const failsFor = (text, expected) => fails({ handler: module(text) }, expected);
  await failsFor("export const other = 1", { code: "EINVAL", message: /default export/ });
  await failsFor("export default 1; setInterval(() => 0, 9)", { code: "EINVAL" });
  await failsFor("export default () => 1; export const teardown = 1", { message: /teardown/ });
  await failsFor("throw new Error('at its beginning')", { code: "EINVAL", message: /at its beginning/ });
  await failsFor("process.exit(0)", { code: "EINVAL", message: /exit code 0/ });
  await fails({ connect: [], bind: publisher.lastEndpoint }, { code: "EADDRINUSE" });
  assert.throws(() => new BlackBox({ handler: fine, connect: "nonsense" }), { code: "EINVAL" });
  await fails({ subscribe: [1] }, { code: "EINVAL" });
  const slow = module(
    "await new Promise((loaded) => setTimeout(loaded, 300)); export default () => undefined",
  );
  const early = new BlackBox({ handler: slow, workers: 1, connect: publisher.lastEndpoint });
  const started = assert.rejects(early.start(), { code: "EBADF" });
  await early.close();
  await started;
  await publisher.close();
}

async function goesOverInproc() {
  const publisher = new Publisher({ sendHighWaterMark: 0 });
  await publisher.bind("inproc://news");
  publisher.connect("inproc://box");
  const data = shared(1);
  const handler = module("export default () => void Atomics.add(data, 0, 1)");
  const options = { socketOptions: { context: undefined }, handler, workers: 2, connect: "inproc://news" };
  const { box: one } = await open(options, publisher);
  const other = new BlackBox({ ...options, connect: undefined, bind: "inproc://box" });
  await other.start();
  await publisher.waitForSubscribers({ count: 2 });
  for (let i = 0; i < 1_000; i++) await publisher.send([String(i), "x"]);
  for (const box of [one, other]) accounts(await until(box, ({ handled }) => handled === 1_000));
  assert.equal(data[0], 2_000);
  const second = new BlackBox({ ...options, connect: undefined, bind: "inproc://box" });
  await assert.rejects(second.start(), { code: "EADDRINUSE" });
  await Promise.all([one.close(), other.close(), publisher.close()]);
}

async function reportsFailures() {
  const handler = module(`
    export default ([topic, body]) => {
      if (String(body) === "throw") throw new RangeError("no such fish");
      if (String(body) === "reject") return Promise.reject(new Error("gone"));
    }`);
  const { publisher, box } = await open({ handler });
  const failed = event(box, "handler:failed");
  await publisher.send(["cod", "throw"]);
  const { shard, messages, topic, error } = await failed;
  assert.deepEqual(
    [shard, messages, String(topic), error.name, error.message],
    [0, 1, "cod", "RangeError", "no such fish"],
  );
  let more = 0;
  box.events.on("handler:failed", ({ messages }) => {
    more += messages;
  });
  for (let i = 0; i < 100; i++) await publisher.send(["cod", i % 2 ? "reject" : "fine"]);
  accounts(await until(box, (stats) => stats.handled === 50 && stats.failed === 51));
  await box.close();
  assert.equal(more, 50); // Reported together, the last of them at the end.
  await publisher.close();
}

async function closesWhenThreadCrashes() {
  const outOfTurn = 'setTimeout(() => { throw new Error("out of turn"); }, 0);';
  const crashes = {
    "process.exit(3)": /exit code 3/,
    [`${outOfTurn} return new Promise(() => undefined)`]: /^out of turn$/,
  };
  for (const [crash, message] of Object.entries(crashes)) {
    const handler = module(`export default ([, body]) => { if (String(body) === "300") { ${crash} } }`);
    const { publisher, box } = await open({ handler });
    const crashed = event(box, "worker:crashed");
    for (let i = 1; i <= 299; i++) await publisher.send(["t", String(i)]);
    await until(box, ({ handled }) => handled === 299);
    await publisher.send(["t", "300"]);
    const { shard, error } = await crashed;
    assert.equal(shard, 0);
    assert.match(error.message, message);
    assert.equal(box.closed, true);
    await box.close();
    const stats = box.stats();
    accounts(stats);
    assert.deepEqual([stats.handled, stats.lost, stats.inFlight, stats.queued], [299, 1, 0, 0]);
    await publisher.close();
  }
}

async function endsClose(linger) {
  const data = shared(2);
  const handler = module(
    "export default () => { Atomics.store(data, 0, 1); Atomics.wait(data, 1, 0); process.exit(3); }",
  );
  const { publisher, box } = await open({ handler, workers: 2 });
  const crashed = event(box, "worker:crashed");
  await publisher.send(["t", "1"]);
  while (data[0] === 0) await sleep(5);
  await publisher.send(["t", "2"]);
  await until(box, ({ received }) => received === 2);
  const closing = box.close({ linger: Number(linger) });
  Atomics.store(data, 1, 1);
  Atomics.notify(data, 1);
  await crashed;
  await closing;
  const stats = box.stats();
  accounts(stats);
  assert.deepEqual([stats.received, stats.lost, stats.inFlight, stats.queued], [2, 2, 0, 0]);
  await publisher.close();
}

async function ignoresPosts() {
  const data = shared(2);
  const handler = module(`
    import { parentPort } from "node:worker_threads";
    for (const message of ["up", null, {}]) parentPort.postMessage(message);
    await new Promise((resolve) => setTimeout(resolve, 200));
    Atomics.store(data, 1, 1);
    export default () => { parentPort.postMessage(undefined); Atomics.add(data, 0, 1); }`);
  const { publisher, box } = await open({ handler });
  assert.equal(data[1], 1);
  await publisher.send(["t", "x"]);
  await until(box, ({ handled }) => handled === 1);
  await Promise.all([box.close(), publisher.close()]);
  assert.equal(data[0], 1);
}

async function warnsOfCrash() {
  const { publisher, box } = await open({ handler: module("export default () => process.exit(3)") });
  const warned = once(process.removeAllListeners("warning"), "warning");
  await publisher.send(["t", ""]);
  const [warning] = await warned;
  assert.match(warning.message, /no listener for "worker:crashed"[\s\S]*exit code 3/);
  await Promise.all([box.close(), publisher.close()]);
}

async function drainsWhenClosed() {
  const data = shared(4);
  const handler = module(`
    await null;
    Atomics.add(data, 0, 1);
    export default async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (data[0] !== 2 || data[3] !== 0) Atomics.add(data, 1, 1);
      Atomics.add(data, 2, 1);
    };
    export const teardown = async ({ shards }) => { await null; Atomics.add(data, 3, shards - 1); };`);
  const { publisher, box } = await open({ handler, workers: 2 });
  for (let i = 0; i < 200; i++) await publisher.send([`t${i}`, ""]);
  await until(box, ({ received }) => received === 200);
  await box.close({ linger: -1 });
  assert.deepEqual([...data], [2, 0, 200, 2]);
  assert.equal(box.stats().handled, 200);
  await publisher.close();
}

async function drains() {
  const data = shared(4);
  const handler = module(`
    export default async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      Atomics.add(data, 0, 1);
    };`);
  const { publisher, box } = await open({ handler });
  for (let i = 0; i < 100; i++) await publisher.send([`t${i}`, ""]);
  await until(box, ({ received }) => received === 100);
  await Promise.all([box.drain(), box.drain()]);
  assert.equal(data[0], 100);
  const { handled, queued, inFlight } = box.stats();
  assert.deepEqual([handled, queued, inFlight, box.closed], [100, 0, 0, false]);
  await assert.rejects(box.start(), { code: "EAGAIN" });
  await Promise.all([box.close(), publisher.close()]);
  await assert.rejects(box.drain(), { code: "EBADF" });
}

async function closesInTime() {
  const data = shared(40);
  const { publisher, box } = await open({ handler: module(BLOCKING) });
  for (let i = 0; i < 30; i++) await publisher.send(["t", String(i)]);
  await until(box, ({ received }) => received === 30);
  while (data[1] === 0) await sleep(5);
  const began = performance.now();
  await box.close({ linger: 50 });
  assert.ok(performance.now() - began < 5_000);
  const stats = box.stats();
  accounts(stats);
  assert.deepEqual([stats.lost + stats.dropped.closed, stats.inFlight, stats.queued], [30, 0, 0]);
  assert.ok(stats.lost > 0);
  await publisher.close();
}

const STORIES = {
  keepsOrder,
  holdsPublisherBack,
  isRefused,
  goesOverInproc,
  reportsFailures,
  closesWhenThreadCrashes,
  endsClose,
  ignoresPosts,
  warnsOfCrash,
  drainsWhenClosed,
  drains,
  closesInTime,
};

await STORIES[story](...given);
console.log("good");
