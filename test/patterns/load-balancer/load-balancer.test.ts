/** The load-balancing broker over tcp, and its client with many requests under way, against brokers, plain servers, and connections that end. */
import { describe, expect, it } from "vitest";
import { frameCost } from "../../../src/core/memory.js";
import { Context, Dealer, json, Reply, Request, Router } from "../../../src/index.js";
import { errorReply } from "../../../src/kit/errors.js";
import {
  LoadBalancer,
  LoadBalancerClient,
  type LoadBalancerOptions,
  PirateWorker,
  type ServiceError,
} from "../../../src/patterns/index.js";
import { failure, texts, until, within } from "../../contract/support/wait.js";
import { start as startProgram } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";
import { gate } from "../../support/gate.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "../pirate/python.js";

const makeFolder = removeAfterEach();
const kept = closeAfterEach();

async function start(options: LoadBalancerOptions = {}, at = "tcp://127.0.0.1:*") {
  const balancer = kept(new LoadBalancer(options));
  const frontend = await balancer.bind("frontend", at);
  const backend = await balancer.bind("backend", "tcp://127.0.0.1:*");
  return { balancer, frontend, backend };
}

describe("the load balancer", () => {
  it("gives each request to the worker that has been free the longest", async () => {
    const { balancer, frontend, backend } = await start();
    for (const name of ["a", "b", "c"]) {
      kept(new PirateWorker(backend, () => name, { dialect: "simple" }));
      const wanted = "abc".indexOf(name) + 1;
      await until(() => balancer.stats().idleWorkers === wanted, `worker ${name}`);
    }
    const client = kept(new Request());
    client.connect(frontend);
    const order: string[] = [];
    for (let i = 0; i < 7; i++) order.push(String(await client.request("x", { timeout: 5_000 })));
    expect(order.join("")).toBe("abcabca");
  });

  it("counts and reports replies that their client does not take", async () => {
    const { balancer, frontend, backend } = await start({ frontendOptions: { sendHighWaterMark: 1 } });
    kept(new PirateWorker(backend, () => Buffer.alloc(100_000), { dialect: "simple" }));
    const client = kept(new Dealer({ receiveHighWaterMark: 1, routingId: "slow" }));
    client.connect(frontend);
    const told = new Promise<unknown>((resolve) => balancer.events.on("reply:dropped", resolve));
    while (balancer.stats().repliesDropped === 0) {
      await client.send(["", "x"]);
      await until(() => balancer.stats().queued === 0, "the requests at the worker");
    }
    expect(await told).toMatchObject({ client: Buffer.from("slow"), reason: "client-full" });
  });

  it("counts requests without a delimiter or a body as invalid, and changes nothing else", async () => {
    const { balancer, frontend, backend } = await start();
    const bad = kept(new Dealer());
    bad.connect(frontend);
    await bad.send("no delimiter");
    await bad.send("");
    const worker = kept(new Dealer());
    worker.connect(backend);
    await worker.send("junk");
    await worker.send(["", "junk"]);
    await worker.send(["", "a", "", ""]); // A reply that nobody asked for; its sender is a worker, though.
    await until(() => balancer.stats().invalid === 4 && balancer.stats().lateReplies === 1, "the counts");
    expect(balancer.stats()).toMatchObject({ requests: 0, idleWorkers: 1 });
  });

  it.skipIf(missing("pyzmq"))("takes a REQ worker of pyzmq that says READY in letters", async () => {
    const { balancer, frontend, backend } = await start();
    const worker = pythonIn(kept)("req_worker.py", backend, "READY", "py", "\x01py");
    await until(() => balancer.stats().idleWorkers === 1, "READY");
    const client = kept(new Request());
    client.connect(frontend);
    for (const word of ["one", "two"]) {
      expect(texts(await client.request(word, { timeout: 5_000 }))).toEqual([`py:${word}`]);
    }
    await worker.kill();
    await until(() => balancer.stats().workersLost === 1, "the loss");
  });
});

/** Takes a request and never answers. */
const WORKER = `
  import { PirateWorker } from "shoal/patterns";
  new PirateWorker(process.argv[1], () => {
    console.log("request");
    return new Promise(() => undefined);
  }, { dialect: "simple" });
`;

it("a load balancer gives the request of a worker that is stopped to another after the heartbeatTimeout of backendOptions", async () => {
  const context = new Context({ engine: "zmtp" });
  const backendOptions = { heartbeatInterval: 50, heartbeatTimeout: 200 };
  const { frontend, backend } = await start({ socketOptions: { context }, backendOptions });
  // One that ended by its own limit would pass its request on, too.
  const child = startProgram(WORKER, { args: [backend], limit: 120_000 });
  kept({ close: () => child.kill() });
  const client = kept(new Request({ linger: 0, context }));
  client.connect(frontend);
  const reply = client.request("x", { timeout: -1 });
  expect(await within(child.line(), "the request at the first worker")).toBe("request");
  child.process.kill("SIGSTOP");
  kept(new PirateWorker(backend, () => "done", { dialect: "simple", socketOptions: { context } }));
  expect(String(await within(reply, "the reply of the second worker"))).toBe("done");
});

async function router(): Promise<{ socket: Router; endpoint: string }> {
  const socket = kept(new Router());
  return { socket, endpoint: await socket.bind("tcp://127.0.0.1:*") };
}

async function bothJoined(client: LoadBalancerClient): Promise<void> {
  const joined: string[] = [];
  client.events.on("broker:joined", ({ endpoint }) => joined.push(endpoint));
  await until(() => joined.length === 2, "both connections");
}

describe("a load balancer's client", () => {
  it("is served by a plain REP, and gives the value of a codec", async () => {
    const server = kept(new Reply());
    const endpoint = await server.bind("tcp://127.0.0.1:*");
    void (async () => {
      for await (const [body] of server) await server.send(JSON.stringify({ got: JSON.parse(String(body)) }));
    })();
    const codecs = { requestCodec: json<{ fish: number }>(), replyCodec: json<{ got: unknown }>() };
    const client = kept(new LoadBalancerClient(endpoint, codecs));
    expect(await client.request({ fish: 3 })).toEqual({ got: { fish: 3 } });
  });

  it("sends what a lost connection had to another broker, and ignores the first one's late reply", async () => {
    const [first, second] = [await router(), await router()];
    const client = kept(new LoadBalancerClient([first.endpoint, second.endpoint], { timeout: 10_000 }));
    await bothJoined(client);
    const calls = ["a", "b", "c", "d"].map((body) => client.request(body));
    const heard = [await first.socket.receive(), await first.socket.receive()];
    await second.socket.receive();
    await second.socket.receive();
    const retried: number[] = [];
    client.events.on("request:retried", ({ attempt }) => retried.push(attempt));
    await second.socket.close({ linger: 0 });
    for (let i = 0; i < 2; i++) heard.push(await within(first.socket.receive(), "a request sent again"));
    for (const frames of heard) {
      expect(frames).toHaveLength(4);
      expect([frames[1]?.length, frames[2]?.length]).toEqual([8, 0]);
      await first.socket.send(frames);
      await first.socket.send(frames); // Twice: the second is late.
    }
    expect((await Promise.all(calls)).map(String)).toEqual(["a", "b", "c", "d"]);
    expect(retried).toEqual([1, 1]);
    await until(() => client.stats().lateReplies === 4, "the late replies");
  });

  it("asks another broker for what one that closes had, and a broker that comes back", async () => {
    const [one, two] = [await start(), await start()];
    const client = kept(new LoadBalancerClient([one.frontend, two.frontend], { timeout: 15_000 }));
    await bothJoined(client);
    const reasons = new Set<string>();
    client.events.on("request:retried", ({ reason }) => reasons.add(reason));
    const calls = Array.from({ length: 200 }, (_, i) => client.request([`${i}`, ""]));
    const queued = () => [one, two].map(({ balancer }) => balancer.stats().queued);
    await until(() => queued().join() === "100,100", "the requests, without a worker");
    await one.balancer.close({ linger: 0 });
    await until(() => queued()[1] === 200, "all of them at the other broker");
    expect([...reasons]).toContain("stopping");
    // Now the other one closes, and nobody is left until the first has come back.
    await two.balancer.close({ linger: 0 });
    const again = await start({}, one.frontend);
    kept(new PirateWorker(again.backend, (body) => body, { dialect: "simple", concurrency: 4 }));
    const replies = await within(Promise.all(calls), "every reply");
    expect(replies.map((reply) => reply.map(String).join("|"))).toEqual(replies.map((_, i) => `${i}|`));
    expect(client.stats()).toMatchObject({ requests: 200, replies: 200, errors: 0, pending: 0 });
  });

  it("asks a broker that stops now and then, for as long as the request may take", async () => {
    const { socket, endpoint } = await router();
    let stopping = 2;
    void (async () => {
      for await (const [client, id, empty, body] of socket) {
        const answer = stopping-- > 0 ? errorReply("stopping") : [body];
        await socket.send([client, id, empty, ...answer] as Buffer[]);
      }
    })();
    const client = kept(new LoadBalancerClient(endpoint, { retries: 0 }));
    expect(String(await client.request("x"))).toBe("x");
    stopping = 1_000;
    expect(await failure(client.request("y", { timeout: 300 }))).toMatchObject({ code: "ETIMEDOUT" });
    expect(client.stats()).toMatchObject({ retries: 3, errors: 1, pending: 0, inFlight: 0 });
  });

  it("gives another broker the calls that one has no room for, and tries that one again", async () => {
    const later = `ipc://${makeFolder()}/later`;
    const stuck = kept(new Router({ receiveHighWaterMark: 1 }));
    await stuck.bind("inproc://stuck"); // What it takes without reading is exactly its high-water mark.
    const socketOptions = { sendHighWaterMark: 1, reconnectInterval: 10 };
    const client = kept(new LoadBalancerClient(["inproc://stuck", later], { retries: 0, socketOptions }));
    await client.ready({ timeout: 5_000 });
    const ends: (string | undefined)[] = [];
    for (let i = 0; i < 8; i++)
      void client.request("x").then(
        () => ends.push("replied"),
        (error: ServiceError) => ends.push(error.reason),
      );
    // Some are sent, and the others wait in the client.
    const { inFlight } = client.stats();
    expect(inFlight).toBeLessThan(8);
    const other = kept(new Router());
    await other.bind(later);
    void (async () => {
      for await (const frames of other) await other.send(frames);
    })();
    await until(() => ends.length === 8 - inFlight, "the replies to those that waited in the client");
    expect(client.stats().inFlight).toBe(inFlight);
    await stuck.close({ linger: 0 });
    await until(() => client.stats().pending === 0, "every call's end");
    expect(ends.filter((end) => end === "replied")).toHaveLength(8 - inFlight);
    expect(ends.filter((end) => end === "broker-lost")).toHaveLength(inFlight);
  });

  it("sends the calls that wait for room though the server answers none", async () => {
    const server = kept(new Router({ receiveHighWaterMark: 1 }));
    await server.bind("inproc://silent");
    const client = kept(
      new LoadBalancerClient("inproc://silent", { socketOptions: { sendHighWaterMark: 1 } }),
    );
    await client.ready({ timeout: 5_000 });
    for (let i = 0; i < 8; i++) void client.request(`${i}`).catch(() => undefined);
    expect(client.stats().inFlight).toBeLessThan(8);
    for (let i = 0; i < 8; i++)
      expect(String((await server.receive({ timeout: 5_000 })).at(-1))).toBe(`${i}`);
  });

  it("does not send again what a listener of the retry gives up", async () => {
    const [first, second] = [await router(), await router()];
    const client = kept(new LoadBalancerClient([first.endpoint, second.endpoint]));
    await bothJoined(client);
    const controller = new AbortController();
    client.events.once("request:retried", () => controller.abort());
    const call = failure(client.request("x", { signal: controller.signal }));
    await first.socket.receive();
    await first.socket.close({ linger: 0 });
    expect(await call).toMatchObject({ code: "ABORT_ERR" });
    expect(client.stats()).toMatchObject({ cancelled: 1, pending: 0, inFlight: 0 });
    void client.request("y").catch(() => undefined);
    expect(String((await second.socket.receive()).at(-1))).toBe("y");
  });

  it("bounds calls, bytes and requests under way, frees their room, and has none once it is closed", async () => {
    const { socket, endpoint } = await router();
    const most = 2 * frameCost(4) + frameCost(2);
    const client = kept(
      new LoadBalancerClient(endpoint, { maxPending: 3, maxPendingBytes: most, maxInFlight: 1 }),
    );
    const controller = new AbortController();
    const aborted = failure(client.request("abcd", { signal: controller.signal }));
    const second = client.request("efgh");
    expect(await failure(client.request("ijk"))).toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    const third = client.request("ij");
    expect(await failure(client.request(""))).toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    expect(String((await socket.receive()).at(-1))).toBe("abcd");
    expect(client.stats()).toMatchObject({ inFlight: 1, pending: 3, pendingBytes: most });
    controller.abort();
    expect(await aborted).toMatchObject({ code: "ABORT_ERR" });
    expect(await failure(client.request("x", { timeout: 1 }))).toMatchObject({ code: "ETIMEDOUT" });
    expect(client.stats().inFlight).toBe(1);
    const ended = [second, third].map(failure);
    await client.close();
    for (const error of await Promise.all(ended)) expect(error).toMatchObject({ code: "EAGAIN" });
    expect(client.stats()).toMatchObject({ pending: 0, inFlight: 0, requests: 4, cancelled: 3 });
  });

  it("goes to another broker while one drains, which finishes what it has", async () => {
    const brokers = [kept(new LoadBalancer()), kept(new LoadBalancer())] as const;
    const { passed: released, open: release } = gate();
    const handler = async ([body]: Buffer[]): Promise<string> => {
      if (String(body) === "slow") await released;
      return String(body);
    };
    const endpoints: string[] = [];
    for (const broker of brokers) {
      endpoints.push(await broker.bind("frontend", "tcp://127.0.0.1:*"));
      kept(
        new PirateWorker(await broker.bind("backend", "tcp://127.0.0.1:*"), handler, { dialect: "simple" }),
      );
    }
    const client = kept(new LoadBalancerClient(endpoints));
    await bothJoined(client);
    const slow = client.request("slow");
    await until(() => brokers.some((broker) => broker.stats().busyWorkers === 1), "the slow one");
    const [first, other] = brokers[0].stats().busyWorkers === 1 ? brokers : [brokers[1], brokers[0]];
    const drained = first.drain();
    const quick = Array.from({ length: 20 }, (_, i) => client.request(`${i}`));
    expect((await within(Promise.all(quick), "the quick ones")).map(String)).toHaveLength(20);
    expect(other.stats().replies).toBe(20);
    release();
    await within(drained, "the drain");
    expect(String(await slow)).toBe("slow");
  });

  it("drains: finishes what is under way, and takes nothing new", async () => {
    const { socket, endpoint } = await router();
    const client = kept(new LoadBalancerClient(endpoint));
    const call = client.request("x");
    const frames = await socket.receive();
    const drained = client.drain();
    expect(await failure(client.request("y"))).toMatchObject({ code: "EAGAIN" });
    await socket.send(frames);
    expect(String(await call)).toBe("x");
    await drained;
    await client.close();
    expect(await failure(client.request("y"))).toMatchObject({ code: "EBADF" });
  });
});
