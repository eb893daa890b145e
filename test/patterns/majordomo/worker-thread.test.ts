/**
 * A worker whose sockets have a thread of their own, in a program of its own: it
 * needs the built package, since a thread begins with a file of JavaScript.
 */
import { afterEach, describe, expect, it } from "vitest";
import { Context, Router } from "../../../src/index.js";
import { MajordomoBroker } from "../../../src/patterns/majordomo/broker.js";
import type { MajordomoBrokerEvent } from "../../../src/patterns/majordomo/broker-options.js";
import { MajordomoClient } from "../../../src/patterns/majordomo/client.js";
import { MajordomoWorker } from "../../../src/patterns/majordomo/worker.js";
import { thrown, until } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";
import { BLOCK } from "../../support/block.js";

/** ms between two heartbeats, and how many of them a silent end may miss. */
const TIMES = { heartbeatInterval: 200, liveness: 3 };
/** ms that a handler blocks its thread: three times what a silent worker has. */
const BLOCKED = 3 * TIMES.heartbeatInterval * TIMES.liveness;

const PROGRAM = `
import { setTimeout as sleep } from "node:timers/promises";
import { json } from "shoal";
import { MajordomoWorker } from "shoal/majordomo";
const [endpoint, thread] = process.argv.slice(1);
const options = { ...${JSON.stringify(TIMES)}, thread: thread === "thread", concurrency: 3, exposeErrors: true };
${BLOCK}
async function* pieces(count) {
  try {
    for (let n = 0; n < count; n++) yield String(n);
    return "end";
  } finally {
    console.log("no more pieces");
  }
}
const worker = new MajordomoWorker(endpoint, "work", async ([verb, ...rest], { signal, id }) => {
  switch (String(verb)) {
    case "block": block(Number(rest[0])); return "unblocked";
    case "throw": throw new Error("no such fish");
    case "nothing": return undefined;
    case "id": return id ?? "none";
    case "slow": await sleep(300); return rest;
    case "pieces": return pieces(Number(rest[0]));
    case "wait": {
      console.log("waiting");
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      console.log("aborted");
      return "late";
    }
    default: return [verb, ...rest];
  }
}, options);
const sums = new MajordomoWorker(endpoint, "sum", ({ a, b }) => ({ sum: a + b }),
  { ...options, requestCodec: json(), replyCodec: json() });
for (const type of ["handler:failed", "request:cancelled", "broker:joined", "thread:failed"])
  worker.events.on(type, (e) => console.log(type, e.error?.message ?? ""));
process.stdin.on("data", async (line) => {
  if (String(line).trim() === "stats") return console.log(JSON.stringify(worker.stats()));
  await Promise.all([worker.close(), sums.close()]);
  console.log(JSON.stringify(worker.stats()));
  process.exit(0);
});
`;

const open: { close(): Promise<unknown> }[] = [];
const children: Child[] = [];
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()));
  await Promise.all(open.splice(0).map((end) => end.close()));
});

/** A broker and a client here, the worker in its program. */
async function begin(thread: "thread" | "none", limits: { readonly maxDeliveries?: number } = {}) {
  const broker = new MajordomoBroker({ ...TIMES, ...limits });
  open.push({ close: () => broker.close({ linger: 0 }) });
  const left: string[] = [];
  const onLeave = (event: MajordomoBrokerEvent & { type: "worker:left" }): void =>
    void left.push(event.reason);
  broker.events.on("worker:left", onLeave);
  await broker.bind("tcp://127.0.0.1:*");
  const endpoint = broker.lastEndpoint as string;
  const child = start(PROGRAM, { args: [endpoint, thread] });
  children.push(child);
  const client = new MajordomoClient(endpoint, TIMES);
  open.unshift(client);
  await until(() => broker.stats().workers === 2, "both services are offered");
  return { broker, client, child, left };
}

describe("a handler that blocks its thread for three times the patience of the broker", () => {
  it("does not cost its worker the registration, when the sockets have a thread of their own", async () => {
    const { broker, client, left } = await begin("thread", { maxDeliveries: 1 });
    const [reply] = await client.request("work", ["block", String(BLOCKED)]);
    expect(String(reply)).toBe("unblocked");
    expect(left).toEqual([]);
    expect(broker.stats()).toMatchObject({ workers: 2 });
  });

  it("costs it the registration and the request otherwise", async () => {
    const { client, left } = await begin("none", { maxDeliveries: 1 });
    await expect(client.request("work", ["block", String(BLOCKED)])).rejects.toMatchObject({
      code: "ERR_SERVICE",
      reason: "worker-lost",
    });
    expect(left).toContain("expired");
  });
});

describe("between the threads", () => {
  it("go requests and answers of any frames, in pieces and with codecs, several at once", async () => {
    const { client, child } = await begin("thread");
    const echo = await client.request("work", ["", "a", Buffer.alloc(1_000_000, 7)]);
    expect(echo.map((frame) => frame.length)).toEqual([0, 1, 1_000_000]);
    expect(echo[2]?.equals(Buffer.alloc(1_000_000, 7))).toBe(true);
    expect(String(await client.request("work", "id"))).toMatch(/^[0-9a-f]{32}$/);
    expect(JSON.parse(String(await client.request("sum", '{"a":2,"b":3}')))).toEqual({ sum: 5 });
    const began = performance.now();
    const slow = await Promise.all([1, 2, 3].map((n) => client.request("work", ["slow", String(n)])));
    expect(slow.map(String)).toEqual(["1", "2", "3"]);
    expect(performance.now() - began).toBeLessThan(3 * 300);
    const pieces: string[] = [];
    for await (const piece of client.stream("work", ["pieces", "3"])) pieces.push(String(piece));
    expect(pieces).toEqual(["0", "1", "2", "end"]);
    await child.heard("no more pieces");
  });

  it("goes word that nobody waits any more: to the signal, and to a generator", async () => {
    const { client, child } = await begin("thread");
    const enough = new AbortController();
    const request = client.request("work", "wait", { signal: enough.signal });
    await child.heard("waiting");
    enough.abort();
    await expect(request).rejects.toMatchObject({ code: "ABORT_ERR" });
    await child.heard("aborted");
    for await (const piece of client.stream("work", ["pieces", "1000000"])) {
      if (String(piece) === "2") break;
    }
    await child.heard("no more pieces");
    expect(String(await client.request("work", "still there"))).toBe("still there");
  });

  it("goes a handler's failure: to the client, and to the events", async () => {
    const { client, child } = await begin("thread");
    await expect(client.request("work", "throw")).rejects.toMatchObject({
      reason: "worker-failed",
      message: "work: no such fish",
    });
    await child.heard("handler:failed no such fish");
    await expect(client.request("work", "nothing")).rejects.toMatchObject({ reason: "worker-failed" });
    await expect(client.request("sum", "no JSON")).rejects.toMatchObject({
      message: expect.stringContaining("does not pass the service's codec"),
    });
    expect(String(await client.request("work", "goes on"))).toBe("goes on");
  });

  it("go the statistics, and the request to close: what is in flight ends first", async () => {
    const { broker, client, child, left } = await begin("thread");
    await child.heard("broker:joined ");
    await client.request("work", "one");
    const slow = client.request("work", ["slow", "two"]);
    await until(() => broker.stats().inFlight === 1, "the worker has it");
    child.tell("close");
    expect(String(await slow)).toBe("two");
    expect(JSON.parse(await child.line())).toMatchObject({ requests: 2, answered: 2, failed: 0, running: 0 });
    expect(await child.outcome).toMatchObject({ code: 0, stderr: "" });
    expect(left).toEqual(["disconnect", "disconnect"]);
  });
});

it("a thread that fails is an event, and what close rejects with", async () => {
  const child = start(`
import { MajordomoWorker } from "shoal/majordomo";
const worker = new MajordomoWorker("nonsense://nowhere", "work", () => "never", { thread: true });
worker.events.on("thread:failed", async ({ error }) => {
  console.log(error.message);
  try { await worker.close(); } catch (e) { console.log(e.code, e.cause === error); }
});
`);
  children.push(child);
  expect(await child.line()).toContain("nonsense");
  expect(await child.line()).toBe("EBADF true");
  expect((await child.outcome).code).toBe(0);
});

it("keeps a bounded number of events for a main thread that is held up, and says how many it dropped", async () => {
  const router = new Router();
  open.push(router);
  await router.bind("tcp://127.0.0.1:*");
  const child = start(
    `
import { MajordomoWorker } from "shoal/majordomo";
const worker = new MajordomoWorker(process.argv[1], "work", () => "never", { thread: true, protocol: "0.2" });
const seen = { faults: 0, lost: 0 };
worker.events.on("peer:invalid", () => { seen.faults += 1; });
worker.events.on("events:lost", ({ count }) => { seen.lost += count; });
const looking = setInterval(() => {
  if (seen.faults + seen.lost < 3_000 || worker.stats().faults < 3_000) return;
  clearInterval(looking);
  console.log(JSON.stringify(seen));
  void worker.close();
}, 10);
${BLOCK}
block(3_000);
`,
    { args: [router.lastEndpoint as string] },
  );
  children.push(child);
  const [worker] = await router.receive({ timeout: 10_000 });
  for (let n = 0; n < 3_000; n++) await router.send([worker as Buffer, "no message of MDP"]);
  const { faults, lost } = JSON.parse(await child.line()) as { faults: number; lost: number };
  expect(faults + lost).toBe(3_000);
  expect(lost).toBeGreaterThan(0);
  expect((await child.outcome).code).toBe(0);
});

it("reaches a broker in the thread that made it over inproc, before and after it binds", async () => {
  const child = start(`
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
const worker = new MajordomoWorker("inproc://broker", "work", ([text]) => "done: " + text, { thread: true });
const broker = new MajordomoBroker();
await broker.bind("inproc://broker");
const late = new MajordomoWorker("inproc://broker", "late", ([text]) => "late: " + text, { thread: true });
const client = new MajordomoClient("inproc://broker");
for (const name of ["work", "late"]) console.log(String(await client.request(name, "it")));
await client.close();
await Promise.all([worker.close(), late.close()]);
await broker.close();
`);
  children.push(child);
  expect(await child.outcome).toMatchObject({ code: 0, stdout: "done: it\nlate: it\n", stderr: "" });
});

it("ends at once when it is closed in the turn in which it was made", async () => {
  const child = start(`
import { MajordomoWorker } from "shoal/majordomo";
const worker = new MajordomoWorker("tcp://127.0.0.1:9", "work", () => "never", { thread: true });
await worker.close();
console.log(worker.stats().requests);
`);
  children.push(child);
  expect(await child.outcome).toMatchObject({ code: 0, stdout: "0\n", stderr: "" });
});

it("refuses what cannot be used from another thread", () => {
  const make = (endpoint: string, socketOptions: object) =>
    thrown(() => new MajordomoWorker(endpoint, "work", () => "never", { thread: true, socketOptions }));
  expect(make("tcp://127.0.0.1:9", { context: new Context() })).toMatchObject({ code: "EINVAL" });
  expect(make("tcp://127.0.0.1:9", { authenticate: () => true })).toMatchObject({ code: "EINVAL" });
});
