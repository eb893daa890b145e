import { connect } from "node:net";
import type { Answer } from "./ipc-path.js";

/** ms; a late answer counts as a listener. */
const PROBE_TIMEOUT = 5_000;

const ANSWERS: Readonly<Record<number, Answer>> = { 1: "refuses", 2: "gone" };

/** The thread has an event loop while the asking one is blocked. */
const THREAD = `
const { workerData: { path, answer } } = require("node:worker_threads");
const socket = require("node:net").connect(path);
const give = (value) => {
  Atomics.store(answer, 0, value);
  Atomics.notify(answer, 0);
  socket.destroy();
};
socket.once("connect", () => give(3));
socket.once("error", ({ code }) => give(code === "ECONNREFUSED" ? 1 : code === "ENOENT" ? 2 : 3));
`;

export function probe(path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve("listens");
    });
    // Other errors, such as a full backlog, come from a listener.
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      resolve(code === "ECONNREFUSED" ? "refuses" : code === "ENOENT" ? "gone" : "listens"),
    );
  });
}

export function probeSync(path: string): Answer {
  const answer = new Int32Array(new SharedArrayBuffer(4));
  const { Worker } = process.getBuiltinModule("node:worker_threads");
  const thread = new Worker(THREAD, { eval: true, execArgv: [], workerData: { path, answer } });
  thread.unref();
  Atomics.wait(answer, 0, 0, PROBE_TIMEOUT);
  return ANSWERS[Atomics.load(answer, 0)] ?? "listens";
}
