/**
 * Sends messages from one socket to another of the same process, and prints the work of both for each: system calls that read
 * and write, pieces of memory and their bytes, bytes that were copied. Counted, not timed: the same on a busy machine.
 *
 *   node work-program.js KIND:WAY:SIZE:COUNT…      KIND tcp, inproc, publish; WAY many, await, batches
 */
import { readFileSync } from "node:fs";

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
const { Publisher, Pull, Push, Subscriber } = await import("shoal");

/** System calls of this process that read and write. */
function calls() {
  const [, reads] = /^syscr: (\d+)$/m.exec(readFileSync("/proc/self/io", "latin1"));
  const [, writes] = /^syscw: (\d+)$/m.exec(readFileSync("/proc/self/io", "latin1"));
  return Number(reads) + Number(writes);
}

/** @param {any} socket @param {number} size @param {number} messages */
async function send(socket, size, messages) {
  const body = new Uint8Array(size);
  for (let i = 0; i < messages; i++) if (!socket.trySend(body)) await socket.send(body);
}

/** @param {any} socket @param {number} messages @param {string} way */
async function receive(socket, messages, way) {
  let seen = 0;
  if (way === "batches") {
    for await (const batch of socket.batches()) {
      seen += batch.length;
      batch[Symbol.dispose]();
      if (seen >= messages) return;
    }
  } else if (way === "await") {
    for await (const _ of socket) if (++seen === messages) return;
  } else while (seen < messages) seen += (await socket.receiveMany()).length;
}

/** @param {string} scenario @returns the work for each message; bytes in times of the message's size */
async function measure(scenario) {
  const [kind, way, ...numbers] = scenario.split(":");
  const [size, count] = numbers.map(Number);
  const fansOut = kind === "publish";
  const from = fansOut ? new Publisher({ sendHighWaterMark: 0 }) : new Push();
  await from.bind(kind === "inproc" ? "inproc://work" : "tcp://127.0.0.1:*");
  const to = Array.from({ length: fansOut ? 10 : 1 }, () => {
    const socket = fansOut ? new Subscriber({ receiveHighWaterMark: 0 }) : new Pull();
    if (socket instanceof Subscriber) socket.subscribe();
    socket.connect(from.lastEndpoint);
    return socket;
  });
  if (from instanceof Publisher) await from.waitForSubscribers({ count: to.length });
  const round = (messages) =>
    Promise.all([send(from, size, messages), ...to.map((socket) => receive(socket, messages, way))]);
  await round(Math.ceil(count / 4));
  const [before, callsBefore] = [{ ...work }, calls()];
  await round(count);
  const each = (name) => (work[name] - before[name]) / count;
  const result = {
    calls: (calls() - callsBefore) / count,
    pieces: each("pieces"),
    allocated: each("allocated") / size,
    copied: each("copied") / size,
  };
  await Promise.all([from, ...to].map((socket) => socket.close({ linger: 0 })));
  return result;
}

const results = [];
for (const scenario of process.argv.slice(2)) results.push(await measure(scenario));
console.log(JSON.stringify(results));
