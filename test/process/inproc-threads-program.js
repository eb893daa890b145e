/**
 * inproc between the worker threads of a process. Each story says what it found; they are told one after the other in one process, and the
 * last one leaves sockets open. A line for each: JSON of its name and what it said.
 *
 *   node inproc-threads-program.js ROUNDS      of terminated threads
 */
import { on, once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Dealer, Pair, Pull, Push, Request, Router } from "shoal";
import { work } from "./threads.js";

const ROUNDS = Number(process.argv[2]);

async function asks(say, bound) {
  const socket = new Request();
  const endpoint = `inproc://ask-${bound}`;
  if (bound === "main") await socket.bind(endpoint);
  else socket.connect(endpoint);
  const worker = work(`
    const socket = new Reply();
    ${bound === "main" ? `socket.connect("${endpoint}")` : `await socket.bind("${endpoint}")`};
    for (let i = 0; i < 100; i++) await socket.send(["echo", ...await socket.receive()]);
    await socket.close();
  `);
  let good = 0;
  for (let i = 0; i < 100; i++) {
    await socket.send(`m${i}`);
    if (String(await socket.receive()) === `echo,m${i}`) good++;
  }
  const [code] = await worker.exited;
  await socket.close();
  say(good, code);
}

async function connectsInEitherOrder(say) {
  const push = new Push();
  push.connect("inproc://later");
  await push.send("before any bind");
  const source = `
    const pull = new Pull();
    await pull.bind("inproc://later");
    for await (const [frame] of pull) {
      parentPort.postMessage(String(frame));
      break;
    }
    await pull.close();
  `;
  // The end of a link may come after the thread's: nobody who waits for an event holds the process until then.
  const held = setInterval(() => undefined, 1_000);
  for (const next of ["to the second", "to the third", undefined]) {
    const left = new Promise((resolve) => push.events.once("peer:leave", resolve));
    const worker = work(source);
    const [text] = await once(worker, "message");
    say(text);
    await worker.exited;
    await left; // What is sent before goes to the one that is gone.
    if (next !== undefined) await push.send(next);
  }
  clearInterval(held);
  say((await push.close()).discarded);
}

async function refusesBoundNames(say) {
  const pull = new Pull();
  await pull.bind("inproc://mine");
  const worker = work(`
    const pull = new Pull();
    const late = pull.bind("inproc://mine");
    const until = Date.now() + 200;
    while (Date.now() < until);
    await late.catch(({ code }) => parentPort.postMessage(code + " after blocking the thread"));
    const textOf = ({ code, message }) => code + " " + message;
    const attempt = async (name) => parentPort.postMessage(await pull.bind(name).catch(textOf));
    await attempt("inproc://mine");
    await attempt("inproc://theirs");
    parentPort.once("message", async () => {
      await attempt("inproc://mine");
      await pull.close();
    });
  `);
  const words = on(worker, "message");
  const next = async () => say((await words.next()).value[0]);
  await next();
  await next();
  await next();
  await pull.bind("inproc://theirs").catch(({ code }) => say(code));
  await pull.unbind("inproc://mine");
  worker.postMessage("again");
  await next();
  await worker.exited;
  await pull.bind("inproc://theirs");
  say("theirs");
  await pull.close();
}

async function reportsEvents(say) {
  const router = new Router();
  await router.bind("inproc://events");
  router.events.on("peer:join", ({ address, routingId }) => say("join", address, String(routingId)));
  router.events.on("peer:leave", ({ reason, routingId }) => say("leave", reason, String(routingId)));
  const source = `
    const dealer = new Dealer({ routingId: workerData });
    dealer.connect("inproc://events");
    for (const type of ["connect", "handshake", "peer:join", "disconnect"])
      dealer.events.on(type, ({ address, reason }) => parentPort.postMessage([type, address, reason].join(" ")));
    await dealer.send("hello");
    await dealer.receive();
    if (workerData === "closes") await dealer.close();
    else setInterval(() => undefined, 1000);
  `;
  for (const name of ["closes", "dies"]) {
    const worker = work(source, name);
    worker.on("message", (text) => say(name, text));
    const [id] = await router.receive();
    const left = new Promise((resolve) => router.events.on("peer:leave", resolve));
    await router.send([id, "answer"]);
    if (name === "dies") await worker.terminate();
    await left;
    await worker.exited; // Its last words come before.
  }
  say(router.stats().peers);
  await router.close();
}

async function losesNothing(say) {
  const pull = new Pull({ receiveHighWaterMark: 0 });
  await pull.bind("inproc://last");
  const ends = { close: "await push.close();", exit: "await push.ready(); process.exit(0);", nothing: "" };
  for (const [how, end] of Object.entries(ends)) {
    const worker = work(`
      const push = new Push({ sendHighWaterMark: 0 });
      push.connect("inproc://last");
      for (let i = 0; i < 5_000; i++) push.trySend("m" + i);
      push.trySend(Buffer.alloc(3_000_000, 7));
      ${end}
    `);
    const [code] = await worker.exited;
    let good = 0;
    for (let i = 0; i < 5_000; i++) if (String(await pull.receive({ timeout: 5_000 })) === `m${i}`) good++;
    const [large] = await pull.receive({ timeout: 5_000 });
    say(
      how,
      code,
      good,
      large.length,
      large.every((byte) => byte === 7),
    );
  }
  await pull.close();
}

async function copiesOnce(say) {
  const pair = new Pair();
  await pair.bind("inproc://large");
  const { exited } = work(`
    const pair = new Pair();
    pair.connect("inproc://large");
    const body = Buffer.alloc(8_000_000, "x");
    await pair.send(body);
    await pair.send("done");
    await pair.close();
  `);
  const [frame] = await pair.receive();
  const { buffer } = frame;
  say(frame.length, frame.includes("y"), buffer.byteLength - frame.length, buffer instanceof ArrayBuffer);
  const { port1 } = new MessageChannel();
  try {
    port1.postMessage(frame, [buffer]);
  } catch {
    // It may be refused, or copied.
  }
  say(frame.length);
  port1.close();
  say(await pair.receive());
  await pair.close();
  await exited;
}

async function survivesTerminated(say) {
  const router = new Router({ linger: 0 });
  await router.bind("inproc://hub");
  let rounds = 0;
  const dealer = new Dealer({ linger: 0 });
  const echo = (async () => {
    for await (const [id, ...body] of router) {
      // The peer may have gone meanwhile.
      await router.send([id, ...body]).catch(() => undefined);
    }
  })();
  dealer.connect("inproc://hub");
  const sources = [
    `const dealer = new Dealer(); dealer.connect("inproc://hub");
     for (;;) { await dealer.send(Buffer.alloc(workerData)); await dealer.receive(); }`,
    `const dealers = Array.from({ length: 20 }, () => new Dealer());
     for (const dealer of dealers) { dealer.connect("inproc://hub"); void dealer.send(Buffer.alloc(workerData)); }
     setInterval(() => undefined, 1000);`,
    `const pull = new Pull(); pull.bindSync("inproc://bound-and-gone"); setInterval(() => undefined, 1000);`,
    `const push = new Push(); push.connect("inproc://bound-and-gone"); push.connect("inproc://hub");
     for (;;) await push.send(Buffer.alloc(workerData));`,
  ];
  for (let round = 0; round < ROUNDS; round++) {
    const size = [0, 64, 100_000][round % 3];
    const workers = [0, 1].map((n) => work(sources[(round * 2 + n) % sources.length], size));
    // From before the first line runs to the middle of the traffic.
    if (round % 4 > 0) await Promise.all(workers.map((worker) => once(worker, "online")));
    if (round % 4 > 1) await sleep(((round * 7) % 40) + 20);
    await Promise.all(workers.map((worker) => worker.terminate()));
    await dealer.send(String(round));
    if (String(await dealer.receive({ timeout: 5_000 })) === String(round)) rounds++;
  }
  while (router.stats().peers > 1) await sleep(5);
  say(rounds, router.stats().peers);
  await dealer.close();
  await router.close();
  await echo;
  const last = new Pull();
  await last.bind("inproc://bound-and-gone");
  await last.bind("inproc://hub");
  say("names are free");
  await last.close();
}

async function holdsNoThread(say) {
  const pull = new Pull();
  await pull.bind("inproc://idle");
  const worker = work(`
    const push = new Push();
    push.connect("inproc://idle");
    await push.send("x");
    const other = new Push({ linger: 0 });
    other.connect("inproc://nobody-has-this");
  `);
  await pull.receive();
  const [code] = await worker.exited;
  await pull.unbind("inproc://idle");
  const push = new Push();
  push.connect("inproc://nobody");
  say(code);
  // The process ends by itself, though neither socket is closed.
}

const STORIES = {
  asksWorker: (say) => asks(say, "worker"),
  asksMain: (say) => asks(say, "main"),
  connectsInEitherOrder,
  refusesBoundNames,
  reportsEvents,
  losesNothing,
  copiesOnce,
  survivesTerminated,
  holdsNoThread,
};

for (const [name, story] of Object.entries(STORIES)) {
  const said = [];
  await story((...words) => said.push(words.join(" ")));
  console.log(JSON.stringify([name, said]));
}
