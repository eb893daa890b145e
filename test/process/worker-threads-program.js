/**
 * Worker threads that use sockets, and how they end.
 *
 *   node worker-threads-program.js STORY [ARGUMENT…]      a function below
 */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Reply, Request } from "shoal";
import { work } from "./threads.js";

const BUSY = `
  const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");
  const push = new Push({ linger: 0 }); push.connect(pull.lastEndpoint);
  const rep = new Reply(); await rep.bind("tcp://127.0.0.1:*");
  rep.receive().catch(() => undefined);
  rep.events.on("accept", () => undefined);
  const idle = Array.from({ length: 20 }, () => new Request({ linger: 0 }));
  for (const socket of idle) socket.connect("tcp://127.0.0.1:1");
  const stuck = new Push(); stuck.send("nobody").catch(() => undefined);
  let count = 0;
  (async () => { for await (const _ of pull) count++; })().catch(() => undefined);
  for (let i = 0; i < 1000; i++) await push.send("x");
  globalThis.kept = [pull, push, rep, stuck, idle];
`;
const ENDS = {
  exit: "process.exit(0);",
  error: 'throw new Error("on purpose");',
  nothing: "await Promise.all([pull.close(), rep.close(), stuck.close({ linger: 0 })]); rep.events.close();",
  terminate: `
    await Promise.all([pull, push, rep, stuck, ...idle].map((socket) => socket.close({ linger: 0 })));
    parentPort.postMessage("terminate me"); setInterval(() => undefined, 1000);`,
};

/** The process and its other sockets go on when a busy thread ends. @param {keyof typeof ENDS} end @param {string} rounds */
async function goesOn(end, rounds) {
  const rep = new Reply();
  await rep.bind("tcp://127.0.0.1:*");
  const req = new Request();
  req.connect(rep.lastEndpoint);
  for (let round = 0; round < Number(rounds); round++) {
    const worker = work(BUSY + ENDS[end]);
    worker.on("message", () => worker.terminate());
    worker.on("error", (error) => {
      if (error.message !== "on purpose") throw error;
    });
    await new Promise((resolve) => worker.once("exit", resolve));
    await req.send("still");
    await rep.send(await rep.receive());
    console.log(String(await req.receive()));
  }
  await rep.close();
  await req.close();
  const descriptors = () => readdirSync("/proc/self/fd").length;
  for (let i = 0; i < 200 && descriptors() > 60; i++) await sleep(10);
  console.log(descriptors() <= 60 ? "given back" : "leaked");
}

/** The engine libzmq in a thread. */
async function isRefused() {
  const worker = work("try { new Reply(); } catch (error) { parentPort.postMessage(error.code); }");
  const [code] = await once(worker, "message");
  await worker.exited;
  console.log(code);
}

const STORIES = { goesOn, isRefused };
const [story, ...given] = process.argv.slice(2);

await STORIES[story](...given);
