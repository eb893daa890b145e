/** A name that another thread has bound, on runtimes whose threads connect (docs/installing.md). */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { afterEach, expect, it } from "vitest";
import { RUNTIME } from "../support/engines.js";
import { within } from "./support/wait.js";

/** Threads have the built package, and one thread takes another's words for those of the same package. */
const SHOAL = pathToFileURL(join(import.meta.dirname, "../../dist/index.js")).href;
const CONTEXT = "process.env.SHOAL_ENGINE = 'zmtp';";

const workers: Worker[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
});

function work(source: string): Promise<string> {
  const worker = new Worker(
    `${CONTEXT} import("node:worker_threads").then(async ({ parentPort }) => {
       const { Pull, Push } = await import(${JSON.stringify(SHOAL)});
       ${source}
     })`,
    { eval: true },
  );
  workers.push(worker);
  return within(
    new Promise<string>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    }),
    "a word of the thread",
  );
}

it.runIf(RUNTIME === "node")("is reached", async () => {
  const bound = await work(`
    const pull = new Pull();
    await pull.bind("inproc://of-a-thread");
    parentPort.postMessage("bound");
    parentPort.postMessage(String(await pull.receive()));
  `);
  expect(bound).toBe("bound");
  const outcome = await work(`
    const push = new Push({ linger: 0 });
    try {
      push.connect("inproc://of-a-thread");
      await push.send("hello", { timeout: 10_000 });
      parentPort.postMessage("sent");
    } catch (error) {
      parentPort.postMessage(error.code);
    }
  `);
  expect(outcome).toBe("sent");
});
