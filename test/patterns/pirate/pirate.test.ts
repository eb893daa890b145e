/** Client, queue and workers of the Pirates together, over tcp. */
import { describe, expect, it, vi } from "vitest";
import { Dealer, json, Reply, Request } from "../../../src/index.js";
import { PirateClient, PirateQueue, type PirateQueueOptions } from "../../../src/patterns/pirate/queue.js";
import { type PirateHandler, PirateWorker } from "../../../src/patterns/pirate/worker.js";
import { texts, turn, until, within } from "../../contract/support/wait.js";
import { held } from "../../kit/services.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { ListedEndpoints } from "../../support/listed-endpoints.js";

const kept = closeAfterEach();

async function startQueue(options?: PirateQueueOptions) {
  const queue = kept(new PirateQueue(options));
  const frontend = await queue.bind("frontend", "tcp://127.0.0.1:*");
  const backend = await queue.bind("backend", "tcp://127.0.0.1:*");
  return { queue, frontend, backend };
}

const upper: PirateHandler = ([body]) => String(body).toUpperCase();

describe("the Pirates over tcp", () => {
  it.each([
    "simple",
    "paranoid",
  ] as const)("give nothing to a %s worker that drains, and its request an answer", async (dialect) => {
    const { queue, frontend, backend } = await startQueue();
    const { handler, started, open } = held();
    const worker = kept(new PirateWorker(backend, handler, { dialect, concurrency: 2 }));
    const first = kept(new PirateClient(frontend, { attemptTimeout: 60_000 })).request("first");
    await within(started, "the request");
    const drained = worker.drain();
    await until(() => queue.stats().idleWorkers === 0, "the worker that has no request is gone");
    kept(new PirateWorker(backend, () => "second", { dialect }));
    const second = kept(new PirateClient(frontend, { attemptTimeout: 60_000 }));
    expect(texts(await second.request("y"))).toEqual(["second"]);
    open();
    expect(texts(await first)).toEqual(["first"]);
    await within(drained, "the drain");
    for (let i = 0; i < 3; i++) expect(texts(await second.request("y"))).toEqual(["second"]);
  });

  it("have all of a worker's connections again when its queue is listed again", async () => {
    const { queue, frontend, backend } = await startQueue();
    const { handler, open } = held();
    const source = new ListedEndpoints([backend]);
    kept(new PirateWorker(source, handler, { concurrency: 3 }));
    await until(() => queue.stats().idleWorkers === 3, "the worker");
    const request = kept(new PirateClient(frontend, { attemptTimeout: 60_000 })).request("x");
    await until(() => queue.stats().busyWorkers === 1, "the request");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      source.set();
      for (let i = 0; i < 10; i++) await turn();
      vi.advanceTimersByTime(5_000);
    } finally {
      vi.useRealTimers();
    }
    await until(() => queue.stats().idleWorkers === 0, "the connections without requests are closed");
    source.set(backend);
    await until(() => queue.stats().idleWorkers === 2, "as many connections as before");
    open();
    await request;
    expect(queue.stats()).toMatchObject({ idleWorkers: 3, busyWorkers: 0 });
  });

  it("serve a REQ with request ids through a worker that keeps one address frame only", async () => {
    const { frontend, backend } = await startQueue();
    const worker = kept(new Dealer());
    worker.connect(backend);
    await worker.send(Buffer.from([1]));
    const client = kept(new Request());
    client.connect(frontend);
    const answer = client.request("", { timeout: 5_000 });
    const request = await worker.receive({ timeout: 5_000 });
    expect(request).toHaveLength(3); // As zguide's ppworker wants it.
    await worker.send([request[0] as Buffer, "", ""]);
    expect(texts(await answer)).toEqual([""]);
  });

  it("carry typed values, and refuse what a codec refuses", async () => {
    const { frontend, backend } = await startQueue();
    const numbers = { requestCodec: json<number>(), replyCodec: json<{ twice: number }>() };
    kept(new PirateWorker(backend, (value: number) => ({ twice: 2 * value }), numbers));
    const client = kept(new PirateClient(frontend, numbers));
    expect(await client.request(21)).toEqual({ twice: 42 });
    const raw = kept(new PirateClient(frontend));
    await expect(raw.request("no json")).rejects.toMatchObject({ reason: "invalid-request" });
  });

  it("keep requests while there is no worker, and leave what is too many with their clients", async () => {
    const { queue, frontend, backend } = await startQueue({ maxQueue: 2 });
    const clients = Array.from({ length: 6 }, () =>
      kept(new PirateClient(frontend, { attemptTimeout: 10_000 })),
    );
    const answers = clients.map((client) => client.request("x"));
    await until(() => queue.stats().queued === 2, "a full queue");
    // Time for the others, which have to be left.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(queue.stats()).toMatchObject({ requests: 2, queued: 2 });
    kept(new PirateWorker(backend, upper));
    await within(Promise.all(answers), "all replies");
    expect(queue.stats()).toMatchObject({ requests: 6, replies: 6 });
  });

  it("drop the requests of a client that left", async () => {
    const { queue, frontend } = await startQueue();
    const client = new PirateClient(frontend);
    client.request("x").catch(() => undefined);
    await until(() => queue.stats().queued === 1, "the request");
    await client.close();
    await until(() => queue.stats().dropped["client-left"] === 1, "the drop");
    expect(queue.stats().queued).toBe(0);
  });

  it("end at once where no queue is: READY and heartbeats are worth no linger", async () => {
    // Nobody listens at the discard port.
    const worker = kept(new PirateWorker("tcp://127.0.0.1:9", upper));
    const started = performance.now();
    await within(worker.close({ linger: 30_000 }), "the close");
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it("finish what is in flight when worker and queue are closed", async () => {
    const { queue, frontend, backend } = await startQueue();
    const { handler, started, open } = held();
    kept(new PirateWorker(backend, handler));
    const answer = kept(new PirateClient(frontend)).request("late but here");
    await started;
    const closing = queue.close({ linger: 5_000 });
    open();
    expect(texts(await within(answer, "the reply"))).toEqual(["late but here"]);
    await within(closing, "the close");
  });
});

describe("the Lazy Pirate client", () => {
  it("goes to the next server when its connection ends, long before its time is over", async () => {
    const [first, second] = [kept(new Reply()), kept(new Reply())];
    const endpoints = [await first.bind("tcp://127.0.0.1:*"), await second.bind("tcp://127.0.0.1:*")];
    const client = kept(new PirateClient(endpoints, { attemptTimeout: 600_000 }));
    const reasons: string[] = [];
    client.events.on("request:retried", ({ reason }) => reasons.push(reason));
    const answer = client.request("a");
    expect(texts(await first.receive({ timeout: 5_000 }))).toEqual(["a"]);
    await first.close({ linger: 0 });
    expect(texts(await second.receive({ timeout: 5_000 }))).toEqual(["a"]);
    await second.send("done");
    expect(texts(await within(answer, "the second server's reply"))).toEqual(["done"]);
    expect(reasons).toEqual(["disconnected"]);
  });
});
