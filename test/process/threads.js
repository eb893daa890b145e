/** Worker threads of programs: each a module given as text, which has the package's sockets by their names. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** Evaluated modules resolve no package: they import it by its absolute address. */
const HEAD = `
  import { parentPort, workerData } from "node:worker_threads";
  const { Pair, Pull, Push, Reply, Request, Router, Dealer, Publisher, Subscriber } =
    await import(${JSON.stringify(import.meta.resolve("shoal"))});
`;

export function work(source, workerData) {
  const url = new URL(`data:text/javascript,${encodeURIComponent(HEAD + source)}`);
  const worker = new Worker(url, { workerData });
  // From the beginning: the last messages of a thread and its end may come in one turn.
  worker.exited = once(worker, "exit");
  worker.exited.catch(() => undefined); // Who awaits it gets the error.
  return worker;
}
