/**
 * Durable requests per second: the LMDB store alone, and titanic.request through a broker, each part in a separate
 * process. `node bench/micro/titanic.js [REQUESTS] [WINDOW]`
 *
 * Prints one JSON line each. With enough requests to fill the store, `slices` shows whether the rate is constant.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LmdbStore, MajordomoBroker, openTitanic, TitanicClient } from "shoal/patterns";

const SLICES = 10;
const BODY = Buffer.alloc(100, 1);

const [, , ...given] = process.argv;
const role = given[0];

if (role === "broker") {
  const broker = new MajordomoBroker();
  await broker.bind("tcp://127.0.0.1:*");
  process.send?.(broker.lastEndpoint);
} else if (role === "titanic") {
  openTitanic(String(given[1]), String(given[2]));
  process.send?.("ready");
} else {
  await main();
}

async function main() {
  const smoke = given.includes("--smoke");
  const [requests = smoke ? 2_000 : 100_000, window = 4_000] = given
    .filter((text) => /^\d+$/.test(text))
    .map(Number);
  for (const run of [store, service]) {
    const directory = mkdtempSync(join(tmpdir(), "shoal-bench-"));
    try {
      console.log(JSON.stringify({ ...(await run(directory, requests, window)), requests, window }));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

/** @param {string} directory @param {number} requests @param {number} window */
async function store(directory, requests, window) {
  const kept = LmdbStore.open(directory);
  const service = Buffer.from("nobody");
  const expires = Date.now() + 86_400_000;
  let n = 0;
  const rates = await measure(requests, window, () => {
    // Ordered by time, as Titanic's UUIDs are.
    const uuid = Buffer.alloc(16, 7);
    uuid.writeDoubleBE(++n);
    return kept.put({ uuid, service, body: [BODY], expires });
  });
  await kept.close();
  return { what: "store", ...rates };
}

/** @param {string} directory @param {number} requests @param {number} window */
async function service(directory, requests, window) {
  const script = new URL(import.meta.url).pathname;
  const broker = fork(script, ["broker"]);
  const [endpoint] = await once(broker, "message");
  const titanic = fork(script, ["titanic", String(endpoint), directory]);
  await once(titanic, "message");
  const client = new TitanicClient(String(endpoint), { maxInFlight: window });
  const rates = await measure(requests, window, () => client.request("nobody", BODY));
  await client.close();
  for (const child of [titanic, broker]) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  return { what: "titanic.request", ...rates };
}

/** @param {number} requests @param {number} window @param {() => Promise<unknown>} one */
async function measure(requests, window, one) {
  const slices = [];
  let begun = 0;
  let done = 0;
  const start = performance.now();
  let from = start;
  const each = Math.ceil(requests / SLICES);
  const lane = async () => {
    while (begun++ < requests) {
      await one();
      if (++done % each !== 0) continue;
      slices.push(Math.round((each / (performance.now() - from)) * 1000));
      from = performance.now();
    }
  };
  await Promise.all(Array.from({ length: window }, lane));
  return { perSecond: Math.round((requests / (performance.now() - start)) * 1000), slices };
}
