/**
 * What a program forgets or stops using: prints what of it is still there. Started by references.test.ts with --expose-gc:
 *
 *   node references.js STORY      a function below
 */
import { getEventListeners } from "node:events";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Dealer, Pair, Pull, Push, Router, Subscriber } from "shoal";

const descriptors = () => readdirSync("/proc/self/fd").length;
const ignore = () => undefined;

async function until(done) {
  // A WeakRef that was looked at keeps its object until the turn ends: the collection comes in the next.
  for (let i = 0; i < 500 && !done(); i++) {
    await sleep(10);
    globalThis.gc();
  }
  return done();
}

function memory() {
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage();
}

async function forgottenSockets() {
  const make = () => {
    const sockets = [];
    for (let i = 0; i < 100; i++) {
      for (const Type of [Dealer, Subscriber]) {
        const socket = new Type({ linger: 0 });
        socket.connect("tcp://127.0.0.1:1");
        sockets.push(new WeakRef(socket));
      }
    }
    return sockets;
  };
  {
    const first = new Dealer({ linger: 0 });
    first.connect("tcp://127.0.0.1:1");
    await first.close();
  }
  const before = descriptors();
  const forgotten = make();
  const collected = await until(() => forgotten.every((ref) => ref.deref() === undefined));
  const closed = await until(() => descriptors() <= before + 10);
  return { collected, closed };
}

async function signalOfWaits() {
  const { signal } = new AbortController();
  const pull = new Pull();
  await pull.bind("inproc://signal");
  const push = new Push();
  push.connect("inproc://signal");
  const rounds = async (count) => {
    for (let i = 0; i < count; i++) {
      const waiting = pull.receive({ signal });
      await push.send("m", { signal });
      await waiting;
      await push.send("m", { signal });
      await pull.receiveMany({ signal });
      if (i % 100 === 0) await pull.receive({ signal, timeout: 0 }).catch(ignore);
    }
  };
  await rounds(1_000);
  // Code that is compiled or thrown away meanwhile is in the heap, too: 140 KB more or less. A leak grows each time.
  let grown = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 5 && grown >= 200_000; tries++) {
    const before = memory().heapUsed;
    await rounds(1_000);
    grown = memory().heapUsed - before;
  }
  const many = Array.from({ length: 1_000 }, () => pull.receive({ signal }));
  for (let i = 0; i < 1_000; i++) await push.send("m");
  await Promise.all(many);
  const { length: listeners } = getEventListeners(signal, "abort");
  await Promise.all([push.close(), pull.close()]);
  return { grown, listeners };
}

async function signalOfClosedSockets() {
  const { signal } = new AbortController();
  const ends = [];
  for (let i = 0; i < 200; i++) {
    const [pull, push, dealer] = [new Pull(), new Push({ linger: 0 }), new Dealer()];
    dealer.connect("tcp://127.0.0.1:1");
    ends.push(pull.receive({ signal }), push.send("m", { signal }));
    ends.push(dealer.ready({ signal }), dealer.events.receive({ signal }));
    for (const socket of [pull, push, dealer]) socket.close({ linger: 0 });
  }
  const settled = await Promise.allSettled(ends);
  const codes = new Set(
    settled.map(({ status, reason }) => (status === "fulfilled" ? "event" : reason.code)),
  );
  await sleep(10);
  return { codes: [...codes].sort(), listeners: getEventListeners(signal, "abort").length };
}

async function eventListeners() {
  const refs = [];
  const listen = (socket, remove) => {
    const hear = () => refs;
    refs.push(new WeakRef(hear));
    socket.events.on("handshake", hear);
    const once = () => refs;
    refs.push(new WeakRef(once));
    socket.events.once("handshake", once);
    if (!remove) return;
    socket.events.off("handshake", hear);
    socket.events.off("handshake", once);
  };
  const kept = new Dealer();
  for (let i = 0; i < 500; i++) listen(kept, true);
  const closed = [new Dealer(), new Router()];
  for (const socket of closed) for (let i = 0; i < 100; i++) listen(socket, false);
  await Promise.all(closed.map((socket) => socket.close()));
  const collected = await until(() => refs.every((ref) => ref.deref() === undefined));
  return { collected, closed: kept.closed };
}

async function messages() {
  const one = new Pair();
  await one.bind("inproc://memory");
  const two = new Pair();
  two.connect("inproc://memory");
  const full = new Push({ sendTimeout: 0 });
  const used = () => {
    const { external, heapUsed } = memory();
    return external + heapUsed;
  };
  const rounds = async (count) => {
    for (let i = 0; i < count; i++) {
      await one.send(Buffer.alloc(100_000));
      await two.receive();
      await full.send(Buffer.alloc(100_000)).catch(ignore);
      const stop = new AbortController();
      const options = { signal: stop.signal, timeout: -1 };
      const withdrawn = full.send(Buffer.alloc(100_000), options).catch(ignore);
      stop.abort();
      await withdrawn;
    }
    await sleep(10);
  };
  await rounds(200);
  const before = used();
  await rounds(300);
  // The package lets go of sent memory from its own thread, and V8 of received memory some turns later.
  let left = used() - before;
  for (let i = 0; i < 300 && left >= 20_000_000; i++) {
    await sleep(10);
    left = used() - before;
  }
  await Promise.all([one.close(), two.close(), full.close()]);
  return { left };
}

const STORIES = { forgottenSockets, signalOfWaits, signalOfClosedSockets, eventListeners, messages };

console.log(JSON.stringify(await STORIES[process.argv[2]]()));
