/**
 * Titanic's process is killed with -9 again and again while clients leave requests: every UUID that a client
 * got is answered in the end, with its own reply, and a request that was repeated is stored once. Broker, Titanic, worker and client are processes of their own.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LmdbStore } from "../../src/patterns/titanic/lmdb-store.js";
import { type Child, start } from "../process/child.js";
import { Blows } from "./blows.js";

const KILLS = 60;
const LIMIT = 3_600_000;

const BROKER = `
import { MajordomoBroker } from "shoal/patterns";
const broker = new MajordomoBroker({ heartbeatInterval: 100 });
await broker.bind(process.argv[1]);
console.log(broker.lastEndpoint);
`;
const TITANIC = `
import { LmdbStore, Titanic } from "shoal/patterns";
const [endpoint, directory] = process.argv.slice(1);
const titanic = new Titanic(endpoint, LmdbStore.open(directory), {
  checkInterval: 20, maxCheckInterval: 100, retryDelay: 20, maxRetryDelay: 100, timeout: 2_000, checkTimeout: 500,
});
console.log("serving " + titanic.stats().store.pending);
`;
const WORKER = `
import { MajordomoWorker } from "shoal/patterns";
const [endpoint] = process.argv.slice(1);
new MajordomoWorker(endpoint, "echo", async (frames) => [Buffer.from("echo"), ...frames],
  { concurrency: 32, heartbeatInterval: 100, reconnectMaxInterval: 200 });
console.log("working");
`;
// Leaves requests, 16 at a time, until it is asked to stop; prints each UUID that was acknowledged, with its body.
const CLIENT = `
import { MajordomoClient, TitanicClient } from "shoal/patterns";
import { createInterface } from "node:readline";
const [endpoint] = process.argv.slice(1);
const asker = new MajordomoClient(endpoint, { timeout: 2_000, retries: 0, heartbeatInterval: 100 });
const client = new TitanicClient(asker);
const kept = new Map();
let told = "";
let n = 0;
const leave = async () => {
  while (told === "") {
    const body = String(n++);
    const uuid = client.newUuid();
    while (!kept.has(uuid)) {
      try {
        kept.set(await client.request("echo", body, { uuid }), body);
        if (kept.size % 50 === 0) console.log("kept " + kept.size);
      } catch (error) {
        if (!["ERR_SERVICE", "ETIMEDOUT", "ERR_STORE"].includes(error.code)) throw error;
      }
    }
  }
};
createInterface({ input: process.stdin }).once("line", (line) => { told = line; });
await Promise.all(Array.from({ length: 16 }, leave));
let wrong = 0;
const fetch = async ([uuid, body]) => {
  for (;;) {
    try {
      const { status, body: reply } = await client.wait(uuid, { interval: 20, maxInterval: 200 });
      if (status !== "200" || reply.join("|") !== "echo|" + body) wrong += 1;
      return;
    } catch (error) {
      if (!["ERR_SERVICE", "ETIMEDOUT"].includes(error.code)) throw error;
    }
  }
};
const all = [...kept];
await Promise.all(Array.from({ length: 16 }, async () => { while (all.length > 0) await fetch(all.pop()); }));
console.log(JSON.stringify({ kept: kept.size, wrong }));
await asker.close();
process.exit(0);
`;

let directory: string;
const children = new Set<Child>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "shoal-titanic-"));
});
afterEach(async () => {
  await Promise.all([...children].map((child) => child.kill()));
  children.clear();
  rmSync(directory, { recursive: true, force: true });
});

function launch(source: string, ...args: string[]): Child {
  const child = start(source, { args, limit: LIMIT });
  children.add(child);
  void child.outcome.then(() => children.delete(child));
  return child;
}

it(`loses no acknowledged request to ${KILLS} kills of Titanic`, { timeout: LIMIT }, async () => {
  const broker = launch(BROKER, "tcp://127.0.0.1:*");
  const endpoint = await broker.line();
  let titanic = launch(TITANIC, endpoint, directory);
  await titanic.line();
  const worker = launch(WORKER, endpoint);
  await worker.line();
  const client = launch(CLIENT, endpoint);
  const blows = new Blows();
  while (blows.total < KILLS) {
    // In the middle of the work: some requests were acknowledged since the last time.
    await client.line();
    await titanic.kill("SIGKILL");
    blows.add("Titanic killed");
    titanic = launch(TITANIC, endpoint, directory);
    await titanic.line();
  }
  client.tell("stop");
  let last = "";
  while (!last.startsWith("{")) last = await client.line();
  const { kept, wrong } = JSON.parse(last) as { kept: number; wrong: number };
  blows.tell("titanic");
  expect(blows.total).toBe(KILLS);
  expect(kept).toBeGreaterThanOrEqual(50 * KILLS);
  expect(wrong).toBe(0);
  // Requests were repeated until they were acknowledged: none left another behind.
  await titanic.kill("SIGKILL");
  const store = LmdbStore.open(directory);
  expect(store.stats()).toMatchObject({ pending: 0, answered: kept, dead: 0 });
  await store.close();
});

it("loses no acknowledged request when everything is killed at once", { timeout: LIMIT }, async () => {
  let broker = launch(BROKER, "tcp://127.0.0.1:*");
  const endpoint = await broker.line();
  const client = launch(CLIENT, endpoint);
  for (let i = 0; i < 50; i++) {
    const [titanic, worker] = [launch(TITANIC, endpoint, directory), launch(WORKER, endpoint)];
    await Promise.all([titanic.line(), worker.line(), client.line()]);
    await Promise.all([titanic, worker, broker].map((child) => child.kill("SIGKILL")));
    broker = launch(BROKER, endpoint);
    await broker.line();
  }
  launch(TITANIC, endpoint, directory);
  launch(WORKER, endpoint);
  client.tell("stop");
  let last = "";
  while (!last.startsWith("{")) last = await client.line();
  expect(JSON.parse(last)).toMatchObject({ wrong: 0 });
});
