/**
 * Sends messages from one socket to another of the same process, and prints the work of both for each: system calls that read
 * and write, pieces of memory and their bytes, bytes that were copied. Counted, not timed: the same on a busy machine.
 *
 *   node work-program.js KIND:WAY:SIZE:COUNT…      KIND tcp, curve, inproc, publish; WAY many, await, batches, copies (and batches)
 *                                                  KIND majordomo, clone; WAY pipelined, single
 *                                                  KIND titanic; WAY pipelined
 *                                                  KIND connections; WAY once: COUNT sockets that connect, talk once and close
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const work = { pieces: 0, allocated: 0, copied: 0 };

/** @param {any} owner @param {string} name @param {(result: any, args: any[]) => void} note */
function observe(owner, name, note) {
  const original = owner[name];
  owner[name] = function (...args) {
    const result = original.apply(this, args);
    note(result, args);
    return result;
  };
}

for (const name of ["alloc", "allocUnsafe", "allocUnsafeSlow", "from", "concat"])
  observe(Buffer, name, (bytes) => {
    work.pieces += 1;
    work.allocated += bytes.length;
    if (name === "from" || name === "concat") work.copied += bytes.length;
  });
observe(Object.getPrototypeOf(Uint8Array.prototype), "set", (_, [source]) => {
  work.copied += source.length;
});
observe(Object.getPrototypeOf(Uint8Array.prototype), "copyWithin", (_, [, start, end]) => {
  work.copied += end - start;
});
observe(Buffer.prototype, "copy", (bytes) => {
  work.copied += bytes;
});

/** Now: the package takes what it uses of these when it is loaded. */
const { curveKeyPair, Dealer, Publisher, Pull, Push, Router, Subscriber } = await import("shoal");

/** System calls of this process that read and write. */
function calls() {
  const [, reads] = /^syscr: (\d+)$/m.exec(readFileSync("/proc/self/io", "latin1"));
  const [, writes] = /^syscw: (\d+)$/m.exec(readFileSync("/proc/self/io", "latin1"));
  return Number(reads) + Number(writes);
}

/**
 * Counts from now on. @param {number} size @param {number} count
 * @returns ends it, with the work for each; bytes in times of the size; `heap`: bytes of objects, where the young generation holds them all
 */
function counting(size, count) {
  const [before, callsBefore, heapBefore] = [{ ...work }, calls(), process.memoryUsage().heapUsed];
  return () => {
    const heap = process.memoryUsage().heapUsed - heapBefore;
    const each = (name) => (work[name] - before[name]) / count;
    return {
      calls: (calls() - callsBefore) / count,
      pieces: each("pieces"),
      allocated: each("allocated") / size,
      copied: each("copied") / size,
      heap: heap / count,
    };
  };
}

/** @param {any} socket @param {number} size @param {number} messages @param {string} way */
async function send(socket, size, messages, way) {
  const body = new Uint8Array(size);
  const options = way === "copies" ? { copy: true } : undefined;
  for (let i = 0; i < messages; i++) if (!socket.trySend(body, options)) await socket.send(body, options);
}

/** @param {any} socket @param {number} messages @param {string} way */
async function receive(socket, messages, way) {
  let seen = 0;
  if (way === "batches" || way === "copies") {
    for await (const batch of socket.batches()) {
      seen += batch.length;
      batch[Symbol.dispose]();
      if (seen >= messages) return;
    }
  } else if (way === "await") {
    for await (const _ of socket) if (++seen === messages) return;
  } else while (seen < messages) seen += (await socket.receiveMany()).length;
}

/** Requests or sets under way. */
const WINDOWS = { pipelined: 1_000, single: 1 };

/** Keys that are set in turn, so that none waits for another. */
const KEYS = 5_000;

/** @param {number} size @returns what asks, and what ends it */
async function majordomo(size) {
  const { MajordomoBroker, MajordomoClient, MajordomoWorker } = await import("shoal/majordomo");
  const broker = new MajordomoBroker();
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const worker = new MajordomoWorker(endpoint, "echo", (frames) => frames, { concurrency: 16 });
  const client = new MajordomoClient(endpoint);
  await Promise.all([worker.ready(), client.ready()]);
  const body = Buffer.alloc(size, 1);
  return { ask: () => client.request("echo", body), parts: [client, worker, broker] };
}

/** @param {number} size */
async function clone(size) {
  const { CloneClient, CloneServer } = await import("shoal/clone");
  const server = new CloneServer();
  const client = new CloneClient(await server.bind("tcp://127.0.0.1:*"));
  await client.ready();
  const body = Buffer.alloc(size, 1);
  return { ask: (k) => client.set(`/work/${k % KEYS}`, body), parts: [client, server] };
}

/** Requests that are kept on disk, for a service that nobody offers. @param {number} size */
async function titanic(size) {
  const { MajordomoBroker, MajordomoClient } = await import("shoal/majordomo");
  const { LmdbStore, Titanic, TitanicClient } = await import("shoal/titanic");
  const broker = new MajordomoBroker();
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const folder = mkdtempSync(join(tmpdir(), "shoal-work-"));
  const store = LmdbStore.open(folder);
  const service = new Titanic(endpoint, store);
  const client = new MajordomoClient(endpoint, { maxInFlight: WINDOWS.pipelined });
  const requests = new TitanicClient(client);
  const body = Buffer.alloc(size, 1);
  const removal = { close: async () => rmSync(folder, { recursive: true }) };
  return { ask: () => requests.request("nobody", body), parts: [client, service, store, broker, removal] };
}

const PATTERNS = { majordomo, clone, titanic };

/** @param {string} kind @param {string} way @param {number} size @param {number} count @returns the work for each request or set */
async function measurePattern(kind, way, size, count) {
  const { ask, parts } = await PATTERNS[kind](size);
  const round = async (total) => {
    let asked = 0;
    const lane = async () => {
      while (asked < total) await ask(asked++);
    };
    await Promise.all(Array.from({ length: WINDOWS[way] }, lane));
  };
  await round(count);
  globalThis.gc?.();
  const counted = counting(size, count);
  await round(count);
  const result = counted();
  for (const part of parts) await part.close({ linger: 0 });
  return result;
}

/** @param {number} size @param {number} count @returns the work of both ends for each connection */
async function measureConnections(size, count) {
  const router = new Router({ backlog: 1_024 });
  await router.bind("tcp://127.0.0.1:*");
  const answering = (async () => {
    for await (const frames of router) await router.send(frames);
  })();
  const round = async () => {
    const dealers = Array.from({ length: count }, () => new Dealer());
    const talk = async (dealer) => {
      dealer.connect(router.lastEndpoint);
      await dealer.send(new Uint8Array(size));
      await dealer.receive();
    };
    await Promise.all(dealers.map(talk));
    await Promise.all(dealers.map((dealer) => dealer.close()));
  };
  // Code and its feedback are memory, too, and a busy machine reads more often than an idle one: the least of several rounds.
  const rounds = [];
  for (let i = 0; i < 6; i++) {
    globalThis.gc();
    const counted = counting(size, count);
    await round();
    rounds.push(counted());
  }
  await router.close({ linger: 0 });
  await answering;
  const least = (name) => Math.min(...rounds.map((each) => each[name]));
  return Object.fromEntries(Object.keys(rounds[0]).map((name) => [name, least(name)]));
}

/** @param {string} scenario @returns the work for each message; bytes in times of the message's size */
async function measure(scenario) {
  const [kind, way, ...numbers] = scenario.split(":");
  const [size, count] = numbers.map(Number);
  if (kind === "connections") return measureConnections(size, count);
  if (way in WINDOWS) return measurePattern(kind, way, size, count);
  const fansOut = kind === "publish";
  const keys = kind === "curve" ? curveKeyPair() : undefined;
  const secured = keys && { curveServer: true, curveSecretKey: keys.secretKey };
  const from = fansOut ? new Publisher({ sendHighWaterMark: 0 }) : new Push(secured);
  await from.bind(kind === "inproc" ? "inproc://work" : "tcp://127.0.0.1:*");
  const { publicKey, secretKey } = keys ?? {};
  const opened = keys && { curveServerKey: publicKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
  const to = Array.from({ length: fansOut ? 10 : 1 }, () => {
    const socket = fansOut ? new Subscriber({ receiveHighWaterMark: 0 }) : new Pull(opened);
    if (socket instanceof Subscriber) socket.subscribe();
    socket.connect(from.lastEndpoint);
    return socket;
  });
  if (from instanceof Publisher) await from.waitForSubscribers({ count: to.length });
  const round = (messages) =>
    Promise.all([send(from, size, messages, way), ...to.map((socket) => receive(socket, messages, way))]);
  await round(Math.ceil(count / 4));
  const counted = counting(size, count);
  await round(count);
  const { heap: _, ...result } = counted();
  await Promise.all([from, ...to].map((socket) => socket.close({ linger: 0 })));
  return result;
}

const results = [];
for (const scenario of process.argv.slice(2)) results.push(await measure(scenario));
console.log(JSON.stringify(results));
