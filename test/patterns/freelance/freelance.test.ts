/** The three models on real sockets, and with the Guide's programs in pyzmq, as servers and as clients. */
import { describe, expect, test, vi } from "vitest";
import { Context, Dealer, json, type Raw, Router, TransportError } from "../../../src/index.js";
import type { RequestHandler } from "../../../src/kit/handler-runtime.js";
import { FreelanceClient } from "../../../src/patterns/freelance/client.js";
import type { FreelanceModel } from "../../../src/patterns/freelance/protocol.js";
import { FreelanceServer } from "../../../src/patterns/freelance/server.js";
import {
  FreelanceFailoverClient,
  FreelanceShotgunClient,
} from "../../../src/patterns/freelance/simple-clients.js";
import { failure, texts, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";
import { ListedEndpoints } from "../../support/listed-endpoints.js";
import { freePort } from "../../support/ports.js";
import { turn } from "../../support/settled.js";
import { GuideProgram, NO_PYTHON } from "./python.js";

const makeFolder = removeAfterEach();
const keep = closeAfterEach();

const ipc = (): string => `ipc://${makeFolder()}/f`;

async function serve(
  model: FreelanceModel,
  handler: RequestHandler<Raw>,
  endpoint = ipc(),
): Promise<FreelanceServer> {
  const server = keep(new FreelanceServer<Raw>(handler, { model }));
  await server.bind(endpoint);
  return server;
}

const named =
  (name: string): RequestHandler<Raw> =>
  (body) =>
    `${name} ${body}`;
const endpointOf = (server: FreelanceServer): string => server.endpoint as string;

function fail(): never {
  throw new Error("no such thing");
}

test.each([
  1, 2, 3,
] as const)("a handler that fails is a ServiceError with a codec, too (model %s)", async (model) => {
  const codec = json<number>();
  const server = keep(new FreelanceServer<number>(fail, { model, codec }));
  server.events.on("handler:failed", () => undefined);
  const endpoint = await server.bind(ipc());
  const clients = [FreelanceFailoverClient, FreelanceShotgunClient, FreelanceClient];
  const Client = clients[model - 1] as typeof FreelanceFailoverClient;
  const client = keep(new Client<number>(endpoint, { codec, timeout: 8_000 }));
  expect(await failure(client.request(1))).toMatchObject({ code: "ERR_SERVICE", reason: "worker-failed" });
});

test("model 2: one failing server does not matter, nor one that is not there; all do", async () => {
  const bad = await serve(2, fail);
  const good = await serve(2, named("good"));
  const client = keep(new FreelanceShotgunClient([endpointOf(bad), endpointOf(good), ipc()]));
  expect(texts(await client.request("1"))).toEqual(["good 1"]);
  const doomed = keep(new FreelanceShotgunClient([endpointOf(bad)]));
  expect(await failure(doomed.request("1"))).toMatchObject({ code: "ERR_SERVICE" });
  const nobody = keep(new FreelanceShotgunClient([ipc()], { timeout: 50 }));
  expect(await failure(nobody.request("1"))).toMatchObject({ code: "ETIMEDOUT" });
});

describe("model 2, with a server that does not read for a while", () => {
  async function stopped(servers = 1) {
    const context = new Context();
    const endpoints: string[] = [];
    const routers: Router[] = [];
    for (let i = 0; i < servers; i++) {
      const router = keep(new Router({ context, receiveHighWaterMark: 5 }));
      endpoints.push(await router.bind(`inproc://stopped-${i}`));
      routers.push(router);
    }
    const socketOptions = { context, sendHighWaterMark: 5 };
    const client = keep(new FreelanceShotgunClient(endpoints, { timeout: -1, socketOptions }));
    await client.ready();
    return { client, routers, router: routers[0] as Router };
  }

  /** Answers what it reads, with its own text. */
  async function answer(router: Router): Promise<void> {
    for await (const [id, empty, sequence, body] of router)
      await router.send([id as Buffer, empty as Buffer, sequence as Buffer, body as Buffer]);
  }

  test("what found its queue full is sent in its order when there is room", async () => {
    const { client, router } = await stopped();
    const calls = Array.from({ length: 300 }, (_, i) => client.request(String(i)));
    const order: string[] = [];
    for (const call of calls) void call.then(([body]) => order.push(String(body)));
    void answer(router);
    await Promise.all(calls);
    expect(order).toEqual(calls.map((_, i) => String(i)));
    expect(client.stats()).toMatchObject({ requests: 300, replies: 300, late: 0, pending: 0 });
  });

  test("what was given up while it waited is not sent, and another server's answer ends the wait", async () => {
    const { client, routers, router } = await stopped(2);
    const signal = new AbortController();
    const calls = Array.from({ length: 100 }, (_, i) =>
      client.request(String(i), i % 2 === 0 ? {} : { signal: signal.signal }),
    );
    const failures = calls.filter((_, i) => i % 2 === 1).map((call) => failure(call));
    signal.abort();
    for (const each of await Promise.all(failures)) expect(each).toMatchObject({ code: "ABORT_ERR" });
    void answer(routers[1] as Router);
    await Promise.all(calls.filter((_, i) => i % 2 === 0));
    // The first server has what fitted before; nothing of the rest comes behind it.
    const last = client.request("last");
    const seen: string[] = [];
    for await (const [, , , body] of router) if (seen.push(String(body)) && String(body) === "last") break;
    await last;
    expect(seen.length).toBeLessThan(20);
  });
});

describe("model 3", () => {
  test("asks the fastest server, and another when that one goes", async () => {
    const a = await serve(3, named("a"));
    const b = await serve(3, named("b"));
    const client = keep(new FreelanceClient([endpointOf(a), endpointOf(b)], { timeout: 8_000 }));
    const first = texts(await client.request("1"))[0] as string;
    await until(() => client.servers().every(({ alive }) => alive), "both servers are alive");
    const [gone, stays] = first.startsWith("a") ? [a, b] : [b, a];
    const dead = new Promise((resolve) => client.events.on("server:left", resolve));
    await gone.close({ linger: 0 });
    expect(texts(await client.request("2"))).toEqual([stays === a ? "a 2" : "b 2"]);
    expect(await within(dead, "a dead server")).toMatchObject({ reason: "disconnected" });
  });

  test("has many requests at once, each with its own reply, encoded", async () => {
    const codec = json<{ n: number }>();
    const endpoint = ipc();
    const server = keep(new FreelanceServer(({ n }) => ({ n: n * 2 }), { codec }));
    await server.bind(endpoint);
    const client = keep(new FreelanceClient([endpoint], { codec, timeout: 8_000 }));
    const replies = await Promise.all(Array.from({ length: 500 }, (_, n) => client.request({ n })));
    expect(replies).toEqual(Array.from({ length: 500 }, (_, n) => ({ n: n * 2 })));
  });

  test("a handler's signal is its own, and aborted when the server closes", async () => {
    const signals: AbortSignal[] = [];
    const handler: RequestHandler<Raw> = async ([body], { signal }) => {
      signals.push(signal);
      if (String(body) === "fast") return "done";
      return new Promise(() => undefined);
    };
    const server = await serve(3, handler);
    const client = keep(new FreelanceClient([endpointOf(server)], { timeout: 8_000 }));
    await client.request("fast");
    void failure(client.request("slow"));
    await until(() => signals.length === 2, "both requests");
    const drained = server.drain();
    await server.close({ linger: 0 });
    await within(drained, "the drain");
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
  });

  test("a server whose Identity is another endpoint is asked, too", async () => {
    const endpoint = ipc();
    const server = keep(new FreelanceServer<Raw>(named("x"), { identity: "tcp://elsewhere:1" }));
    await server.bind(endpoint);
    const client = keep(new FreelanceClient(endpoint, { timeout: 8_000 }));
    expect(texts(await client.request("1"))).toEqual(["x 1"]);
  });

  test("the Identity is the text that is dialled, not what it resolves to", async () => {
    const port = await freePort();
    const endpoint = `tcp://localhost:${port}`;
    const server = keep(new FreelanceServer<Raw>(named("x"), { identity: endpoint }));
    expect(await server.bind(`tcp://127.0.0.1:${port}`)).toBe(`tcp://127.0.0.1:${port}`);
    const client = keep(new FreelanceClient([endpoint], { timeout: 8_000 }));
    expect(texts(await client.request("1"))).toEqual(["x 1"]);
  });

  test.each([
    "tcp://127.0.0.1:*",
    "tcp://127.0.0.1:0",
    "ws://127.0.0.1:*/a",
  ])("what the system chose is part of the Identity (%s)", async (endpoint) => {
    const server = await serve(3, named("x"), endpoint);
    const client = keep(new FreelanceClient([endpointOf(server)], { timeout: 8_000 }));
    expect(texts(await client.request("1"))).toEqual(["x 1"]);
  });
});

describe("bad input", () => {
  test.each([
    [1, [["no envelope"], [""]]],
    [
      2,
      [
        ["1", "body"],
        ["", "1"],
      ],
    ],
    [3, [[""], ["1"], ["PONG"]]],
  ] as const)("to a server of model %d is counted, and others are served", async (model, messages) => {
    const endpoint = ipc();
    const server = await serve(model, named("x"), endpoint);
    const dealer = keep(new Dealer({ linger: 0 }));
    dealer.connect(endpoint);
    for (const message of messages) await dealer.send([...message]);
    await until(() => server.stats().received === messages.length, "all were received");
    expect(server.stats().invalid).toBe(messages.length);
    await dealer.send(model === 1 ? ["", "hi"] : model === 2 ? ["", "1", "hi"] : ["1", "hi"]);
    expect(texts(await dealer.receive({ timeout: 5_000 })).at(-1)).toBe("x hi");
  });

  test("to a client of model 3 is counted, and the request goes on", async () => {
    const endpoint = ipc();
    const server = keep(new Router({ linger: 0, routingId: endpoint }));
    await server.bind(endpoint);
    const client = keep(new FreelanceClient([endpoint], { timeout: 8_000 }));
    const reply = client.request("1");
    const [id] = await server.receive({ timeout: 5_000 });
    for (const junk of [["PONG", "x"], ["nonsense", "x"], ["-1", "x"], ["1"], [""]])
      await server.send([id as Buffer, ...junk]);
    await server.send([id as Buffer, "PONG"]);
    const [, sequence, body] = await server.receive({ timeout: 5_000 });
    await server.send([id as Buffer, sequence as Buffer, `did ${body}`]);
    expect(texts(await reply)).toEqual(["did 1"]);
    expect(client.stats()).toMatchObject({ invalid: 5, late: 0 });
  });

  test("a server that binds a wildcard without an identity is refused", async () => {
    const server = keep(new FreelanceServer<Raw>(fail));
    for (const endpoint of ["tcp://*:5555", "ws://*:5555/a", "ipc://*"])
      expect(await failure(server.bind(endpoint))).toMatchObject({ code: "EINVAL" });
    expect(server.endpoint).toBeNull();
  });
});

test("model 3: an endpoint that cannot be connected is tried ever less often, beside one that can", async () => {
  const [good, bad] = [endpointOf(await serve(3, named("good"))), ipc()];
  const connect = Dealer.prototype.connect;
  const spy = vi.spyOn(Dealer.prototype, "connect").mockImplementation(function (this: Dealer, endpoint) {
    if (endpoint === bad) throw new TransportError("EMFILE", "no more sockets");
    return connect.call(this, endpoint as string);
  });
  const client = keep(new FreelanceClient(new ListedEndpoints([good, bad])));
  const refused: number[] = [];
  client.events.on("endpoint:refused", () => refused.push(performance.now()));
  await until(() => refused.length === 5, "five attempts");
  spy.mockRestore();
  // 100, 200, 400 and 800 ms, or down to half of each by chance.
  expect((refused[4] as number) - (refused[0] as number)).toBeGreaterThan(600);
});

test("a server that is not bound does not keep the process alive", async () => {
  const holders = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = holders();
  keep(new FreelanceServer(fail, { model: 1 }));
  await turn();
  expect(holders()).toBeLessThanOrEqual(before);
});

test("binds two endpoints that are asked for at once, one after the other", async () => {
  const server = keep(new FreelanceServer<Raw>(([body]) => `did ${body}`));
  const endpoints = await Promise.all([1, 2].map(() => server.bind("tcp://127.0.0.1:*")));
  expect(new Set(endpoints).size).toBe(2);
  expect(server.endpoint).toBe(endpoints[1]);
  const client = keep(new FreelanceClient(server.endpoint as string, { timeout: 8_000, pingInterval: 50 }));
  expect(texts(await client.request("1"))).toEqual(["did 1"]);
});

test("a server that is one of a pair answers neither PINGs nor requests while it stands by, and what was kept once it serves", async () => {
  let serving = false;
  let serve: (message: Buffer[]) => void = () => undefined;
  const held: Buffer[][] = [];
  const gate = {
    admit: (message: Buffer[]): boolean => {
      if (!serving) held.push(message);
      return serving;
    },
    isServing: () => serving,
    passTo: (pass: (message: Buffer[]) => void) => {
      serve = pass;
    },
  };
  const begun: (() => void)[] = [];
  const handler = ([body]: Buffer[]): Promise<string> =>
    new Promise((resolve) => begun.push(() => resolve(`did ${body}`)));
  const server = keep(new FreelanceServer<Raw>(handler, { gate }));
  const client = keep(new FreelanceClient([await server.bind(ipc())], { timeout: 8_000, pingInterval: 50 }));
  const answer = client.request("1");
  await until(() => held.length > 0, "a PING that votes");
  expect(client.servers()).toMatchObject([{ alive: false }]);
  expect(server.stats()).toMatchObject({ pings: 0, requests: 0 });
  serving = true;
  for (const message of held.splice(0)) serve(message);
  await until(() => begun.length === 1, "the request");
  serving = false;
  begun[0]?.();
  await until(() => server.stats().notServing > 0, "a reply that does not leave");
  serving = true;
  await until(() => begun.length > 1, "the next attempt");
  begun[1]?.();
  expect(texts(await answer)).toEqual(["did 1"]);
});

async function guide(...args: string[]): Promise<{ program: GuideProgram; endpoint: string }> {
  const program = keep(new GuideProgram(...args));
  const [word, endpoint] = (await within(program.line(), "ready")).split(" ");
  expect(word).toBe("ready");
  return { program, endpoint: endpoint as string };
}

async function shoal(model: 1 | 2 | 3): Promise<FreelanceServer> {
  const endpoint = `tcp://127.0.0.1:${await freePort()}`;
  const server = keep(new FreelanceServer<Raw>((body) => (model === 1 ? body : "OK"), { model }));
  await server.bind(endpoint);
  return server;
}

describe.skipIf(NO_PYTHON)("the Guide's servers", () => {
  test("model 1", async () => {
    const { endpoint } = await guide("flserver1", "tcp://127.0.0.1:*");
    const client = keep(new FreelanceFailoverClient([endpoint], { attemptTimeout: 5_000 }));
    expect(texts(await client.request("Hello world"))).toEqual(["Hello world"]);
  });

  test("model 2", async () => {
    const servers = await Promise.all([1, 2].map(() => guide("flserver2", "tcp://127.0.0.1:*")));
    const client = keep(new FreelanceShotgunClient(servers.map(({ endpoint }) => endpoint)));
    for (let i = 0; i < 3; i++) expect(texts(await client.request("random name"))).toEqual(["OK"]);
  });

  test("model 3, and one that is killed", async () => {
    const servers: { program: GuideProgram; endpoint: string }[] = [];
    for (let i = 0; i < 2; i++) {
      const port = await freePort();
      servers.push(await guide("flserver3", `tcp://*:${port}`, `tcp://localhost:${port}`));
    }
    const endpoints = servers.map(({ endpoint }) => endpoint.replace("*", "localhost"));
    const client = keep(new FreelanceClient(endpoints, { timeout: 8_000 }));
    expect(texts(await client.request("random name"))).toEqual(["OK"]);
    await until(() => client.servers().every(({ alive }) => alive), "both servers are alive");
    await servers[0]?.program.kill();
    for (let i = 0; i < 3; i++) expect(texts(await client.request("random name"))).toEqual(["OK"]);
    expect(client.servers().map(({ alive }) => alive)).toEqual([false, true]);
  });
});

describe.skipIf(NO_PYTHON)("the Guide's clients", () => {
  test("model 1", async () => {
    const server = await shoal(1);
    const client = keep(new GuideProgram("flclient1", "2", server.endpoint as string));
    for (let i = 0; i < 2; i++) expect(await within(client.line(), "a reply")).toBe("reply Hello world");
  });

  test("model 2", async () => {
    const servers = [await shoal(2), await shoal(2)];
    const client = keep(
      new GuideProgram("flclient2", "3", ...servers.map(({ endpoint }) => endpoint as string)),
    );
    for (let i = 0; i < 3; i++) expect(await within(client.line(), "a reply")).toBe("reply OK");
    expect(await within(client.line(), "the end")).toBe("done");
  });

  test.each(["C", "py"])("model 3, in the manner of the %s program", async (dialect) => {
    const servers = [await shoal(3), await shoal(3)];
    const endpoints = servers.map(({ endpoint }) => endpoint as string);
    const client = keep(new GuideProgram("flclient3", dialect, "3", ...endpoints));
    const lines: string[] = [];
    while (lines.at(-1) !== "done") lines.push(await within(client.line(), "a line"));
    expect(lines.filter((line) => line === "reply OK")).toHaveLength(3);
    expect(lines.some((line) => line.startsWith("pong"))).toBe(true);
    const [first] = servers;
    expect(first?.stats()).toMatchObject({ requests: 3, pings: 1, invalid: 0 });
  });
});
